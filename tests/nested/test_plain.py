"""What may leave a worker, and how what may not is named."""

from __future__ import annotations

import enum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaperon_engine.definition.secrets import Secret
from chaperon_engine.errors import InvalidRequest
from chaperon_engine.net.cookies import CookieJar
from chaperon_engine.net.url import split_url
from chaperon_engine.session.assigned import Assigned, below
from chaperon_engine.session.plain import (
    MAX_BYTES,
    pack,
    pack_assigned,
    pack_cookies,
    unpack,
    unpack_assigned,
    unpack_cookies,
)

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=20)
    | st.binary(max_size=20)
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(st.dictionaries(st.text(max_size=8), values, max_size=5))
def test_plain_data_arrives_as_it_was(table: dict[str, Any]) -> None:
    assert unpack(pack(table, "config value")) == table


class Colour(enum.StrEnum):
    RED = "red"


def test_subclasses_arrive_as_what_they_are_made_of() -> None:
    arrived = unpack(pack({"a": Secret("s"), "b": Colour.RED, "c": (1, 2)}, "config value"))
    assert arrived == {"a": "s", "b": "red", "c": [1, 2]}
    assert [type(value) for value in arrived.values()] == [str, str, list]


def loop() -> list[Any]:
    inner: list[Any] = []
    inner.append(inner)
    return inner


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"lock": object()}, "config value 'lock' is of type object; only plain data"),
        ({"a": {"b": [0, {"c": {1, 2}}]}}, "config value 'a.b[1].c' is of type set"),
        ({"f": len}, "config value 'f' is of type builtin_function_or_method"),
        ({"n": 2**64}, "config value 'n' is a number of more than 64 bits"),
        ({"t": "\ud800"}, "config value 't' is text that is not valid Unicode"),
        ({(1, 2): 3}, "config value (1, 2): a key must be text, not tuple"),
        ({"l": loop()}, "is nested more than 32 deep"),
        ({"big": b"x" * MAX_BYTES}, "the config values take 65,5"),
    ],
)
def test_anything_else_is_an_error_that_names_the_key(table: Any, says: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        pack(table, "config value")
    assert says in str(caught.value)


def test_assigned_values_keep_their_namespaces() -> None:
    assigned = Assigned()
    assigned["cart"] = {"items": [1]}
    below(assigned, "shop")["user"] = "ann"
    twin = unpack_assigned(pack_assigned(assigned))
    assert twin.cart == {"items": [1]}
    assert twin.shop.user == "ann"
    below(twin, "shop")["token"] = 1
    assert dict(twin.shop) == {"user": "ann", "token": 1}


def test_an_assigned_value_that_is_not_plain_is_named_with_its_namespace() -> None:
    assigned = Assigned()
    below(assigned, "shop")["lock"] = object()
    with pytest.raises(InvalidRequest, match=r"assigned value .shop\.lock. is of type object"):
        pack_assigned(assigned)


def test_cookies_arrive_with_their_rules() -> None:
    origin, _ = split_url("http://shop.example:81/", "URL")
    other, _ = split_url("http://shop.example:82/", "URL")
    jar, twin = CookieJar(), CookieJar()
    jar.store("id=\xe9; Path=/a", origin, "/a")
    jar.store("old=1; Max-Age=-1", origin, "/")
    twin.load(unpack_cookies(pack_cookies(jar.dump())))
    assert twin.header(origin, "/a/b") == jar.header(origin, "/a/b") != b""
    assert twin.header(other, "/a/b") == twin.header(origin, "/b") == b""
