"""What the client asks of each head is read without parsing it: with the same result."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chaperon_engine.http.headers import read_facts
from chaperon_engine.http.rules import REDIRECTS
from chaperon_engine.net.headers import Headers, parse_head

NAMES = st.one_of(
    st.sampled_from(
        ["Connection", "connection", "CONNECTION", "Set-Cookie", "set-cookie", "X-Connection",
         "Connection-Id", "Proxy-Connection", "X-Set-Cookie", "Content-Length"]
    ),
    st.text("abcXYZ-019", min_size=1, max_size=8),
)  # fmt: skip
VALUES = st.one_of(
    st.sampled_from(
        ["close", "Close", "keep-alive", "Keep-Alive, x", "x, close", "connection: close", ""]
    ),
    st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f")),
)
FIELDS = st.lists(st.tuples(NAMES, st.sampled_from(["", " ", "\t"]), VALUES), max_size=6)


@given(
    version=st.sampled_from(["1.0", "1.1"]),
    status=st.sampled_from([200, 204, 301, 302, 304, 404, 500]),
    reason=st.sampled_from(["", " OK", " connection: close"]),
    fields=FIELDS,
)
def test_the_facts_of_any_head_are_those_of_its_fields(
    version: str, status: int, reason: str, fields: list[tuple[str, str, str]]
) -> None:
    lines = [f"HTTP/{version} {status}{reason}"]
    lines += [f"{name}:{space}{value}" for name, space, value in fields]
    head = "\r\n".join([*lines, "", ""]).encode("latin-1")
    headers = Headers(parse_head(head))
    connection = headers.get("connection", "").lower()
    facts = read_facts(head)
    assert facts is not None
    assert facts.status == status
    assert facts.fields == len(fields)
    assert facts.is_special == (status in REDIRECTS or "set-cookie" in headers)
    if version == "1.0":
        assert facts.keeps_alive == ("keep-alive" in connection)
    else:
        assert facts.keeps_alive == ("close" not in connection)
