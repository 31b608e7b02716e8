"""Test code that travels: what is taken along, and what a receiver refuses."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaperon_engine.definition.plan import LaunchRequest, Plan, ServicePlan
from chaperon_engine.definition.resolve import resolve
from chaperon_engine.errors import UserError
from chaperon_engine.protocol.wire import MAX_PIECE_BYTES, BundleEnd, BundleFile
from chaperon_engine.runs.bundle import collect
from chaperon_engine.runs.bundled import BundleLimits, checked_name
from chaperon_engine.runs.unpacking import Unpacker, localised

SHOP = """
from chaperon_engine import LoadTest, Population, Scenario, Service, Session, Tls
from parts.steps import PATH

class Browse(Scenario):
    async def run(self, session: Session) -> None:
        await session.get(PATH)

class ShopTest(LoadTest):
    services = {"shop": Service("http://127.0.0.1:1", tls=Tls(ca_file="keys/ca.pem"))}
    scenarios = [Population(Browse)]
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    for name, text in {
        "shop.py": SHOP,
        "parts/__init__.py": "",
        "parts/steps.py": "PATH = '/'",
        "keys/ca.pem": "a certificate",
        "users.csv": "ann\n" * 10,
        ".env": "SECRET=1",
        ".env.local": "SECRET=2",
        ".git/config": "[core]",
        "parts/__pycache__/steps.cpython-311.pyc": "x",
        "venv/pyvenv.cfg": "",
        "own-env/pyvenv.cfg": "",
    }.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def names(folder: Path, **keywords: object) -> list[str]:
    bundle = collect(LaunchRequest(file=str(folder / "shop.py")), **keywords)  # type: ignore[arg-type]
    return [file.name.removeprefix("code/") for file in bundle.files]


def test_the_folder_of_the_scenario_travels_without_secrets_caches_and_links(shop: Path) -> None:
    (shop / "link.csv").symlink_to("/etc/passwd")
    (shop / "linked").symlink_to("/etc")
    os.mkfifo(shop / "pipe")
    bundle = collect(LaunchRequest(file=str(shop / "shop.py")))
    assert [file.name for file in bundle.files] == [
        "code/keys/ca.pem",
        "code/parts/__init__.py",
        "code/parts/steps.py",
        "code/shop.py",
        "code/users.csv",
    ]
    assert bundle.left_out == [
        "link.csv is a link", "linked is a link", "pipe is no ordinary file",
    ]  # fmt: skip
    digest = hashlib.sha256((shop / "users.csv").read_bytes()).hexdigest()[:16]
    assert bundle.listing()[-1].split() == ["40", "B", digest, "code/users.csv"]


def test_ignored_files_stay_behind_and_chaperonignore_has_the_last_word(shop: Path) -> None:
    (shop.parent / ".git").mkdir()
    (shop / ".git/config").unlink()
    (shop / ".git").rmdir()
    (shop.parent / ".gitignore").write_text("*.csv\n*.log\n")
    (shop / "results").mkdir()
    (shop / "results/run.json").write_text("{}")
    (shop / "run.log").write_text("x")
    (shop / ".gitignore").write_text("results/\nshop.py\n")
    found = names(shop)
    assert "shop.py" in found  # A person named it.
    assert not {"users.csv", "run.log", "results/run.json"} & set(found)
    (shop / ".chaperonignore").write_text("!users.csv\nkeys/\n")
    found = names(shop)
    assert "users.csv" in found
    assert "keys/ca.pem" not in found


def test_files_outside_of_the_folder_that_the_launch_names_travel_too(
    shop: Path, tmp_path: Path
) -> None:
    config = tmp_path / "staging.toml"
    config.write_text("timeout = '5s'")
    other = tmp_path / "other.pem"
    other.write_text("another certificate")
    launch = LaunchRequest(
        file=str(shop / "shop.py"),
        config_file=str(config),
        overrides=["pool=worker"],
        exports={"s3": "s3://bucket"},
    )
    service = ServicePlan(name="my shop", base_url="", settings={"tls": {"ca_file": str(other)}})
    plan = Plan(load_test="T", file="", services=[service], populations=[])
    bundle = collect(launch, plan)
    assert [file.name for file in bundle.files][-2:] == [
        "extra/0/staging.toml", "extra/1/other.pem",
    ]  # fmt: skip
    assert bundle.launch.file == "code/shop.py"
    assert bundle.launch.config_file == "extra/0/staging.toml"
    assert bundle.launch.exports == {}
    assert bundle.launch.overrides == [
        "pool=worker",
        'services."my shop".tls.ca_file="../extra/1/other.pem"',
    ]


@pytest.mark.parametrize(
    ("started_in", "file", "runs_in"),
    [
        (".", "code/shop/shop.py", "code"),
        ("shop", "code/shop.py", "code"),
        ("shop/parts", "code/shop.py", "code/parts"),
        ("elsewhere", "code/shop.py", "code"),
    ],
)
def test_sessions_run_where_they_did_as_seen_from_the_test(
    shop: Path, tmp_path: Path, started_in: str, file: str, runs_in: str
) -> None:
    launch = LaunchRequest(file=str(shop / "shop.py"))
    bundle = collect(launch, resolve(launch).plan, working=tmp_path / started_in)
    assert (bundle.launch.file, bundle.launch.working_folder) == (file, runs_in)
    unpacker = Unpacker(within=tmp_path)
    for message in bundle.pieces():
        unpacker.take(message)
    there = localised(bundle.launch, unpacker.folder)
    assert Path(there.working_folder).is_dir()
    ca_file = resolve(there).services["shop"].tls.ca_file
    assert ca_file is not None
    assert Path(ca_file).resolve().is_relative_to(unpacker.folder)


def test_a_test_that_was_unpacked_elsewhere_resolves_as_it_did_at_home(
    shop: Path, tmp_path: Path
) -> None:
    launch = LaunchRequest(file=str(shop / "shop.py"))
    plan = resolve(launch).plan
    bundle = collect(launch, plan)
    unpacker = Unpacker(within=tmp_path)
    for message in bundle.pieces():
        unpacker.take(message)
    assert unpacker.digest == bundle.digest
    assert stat.S_IMODE(unpacker.folder.stat().st_mode) == 0o700
    there = resolve(localised(bundle.launch, unpacker.folder))
    assert there.plan.file == str(unpacker.folder / "code/shop.py")
    ca_file = there.services["shop"].tls.ca_file
    assert ca_file is not None
    assert Path(ca_file).resolve().is_relative_to(unpacker.folder)
    assert Path(ca_file).read_text() == "a certificate"
    unpacker.remove()
    assert not unpacker.folder.exists()


def test_large_and_empty_files_arrive_as_they_were(tmp_path: Path) -> None:
    folder = tmp_path / "test"
    folder.mkdir()
    (folder / "a.toml").write_bytes(b"")
    content = os.urandom(MAX_PIECE_BYTES * 2 + 17)
    (folder / "big.bin").write_bytes(content)
    bundle = collect(LaunchRequest(file=str(folder / "a.toml")))
    messages = list(bundle.pieces())
    assert len(messages) == 5
    unpacker = Unpacker(within=tmp_path)
    for message in messages:
        unpacker.take(message)
    assert (unpacker.folder / "code/big.bin").read_bytes() == content
    assert (unpacker.folder / "code/a.toml").read_bytes() == b""
    unpacker.remove()


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (BundleLimits(file_bytes=30), "users.csv: 40 B is more than the 30 B"),
        (BundleLimits(total_bytes=45), "more than the 45 B or 5,000 files"),
        (BundleLimits(files=2), "2 files that may travel"),
    ],
)
def test_what_is_too_much_is_said_with_the_way_out(
    shop: Path, limits: BundleLimits, words: str
) -> None:
    for file in ("shop.py", "keys/ca.pem"):
        (shop / file).write_text("x")
    with pytest.raises(UserError, match="chaperonignore") as error:
        names(shop, limits=limits)
    assert words in str(error.value)


def test_files_that_differ_in_capital_letters_alone_cannot_travel(shop: Path) -> None:
    (shop / "Users.csv").write_text("x")
    with pytest.raises(UserError, match="capital letters"):
        names(shop)


def test_a_file_that_changes_between_listing_and_sending_ends_the_attempt(shop: Path) -> None:
    bundle = collect(LaunchRequest(file=str(shop / "shop.py")))
    (shop / "users.csv").write_text("bob\n" * 10)
    with pytest.raises(UserError, match="changed"):
        list(bundle.pieces())


def file(name: str, data: bytes = b"x", **changes: object) -> BundleFile:
    fields: dict[str, object] = {
        "name": name, "digest": hashlib.sha256(data).digest(), "size": len(data), "data": data,
    }  # fmt: skip
    return BundleFile(**{**fields, **changes})  # type: ignore[arg-type]


HOSTILE = [
    "/etc/passwd", "../up", "a/../../up", "a//b", "a/./b", "", ".", "..", "a\0b", "a\nb", "a\\b",
    "a/", "x" * 300, "/".join("a" * 40), "\ud800",
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_that_leads_elsewhere_is_refused_where_it_arrives(name: str, tmp_path: Path) -> None:
    unpacker = Unpacker(within=tmp_path)
    with pytest.raises(UserError, match="cannot travel"):
        unpacker.take(file(name))
    with pytest.raises(UserError, match="cannot travel"):
        localised(LaunchRequest(file=name or "."), tmp_path)
    unpacker.remove()
    assert list(tmp_path.iterdir()) == []


@given(st.text())
def test_whatever_name_passes_lies_within_the_folder(name: str) -> None:
    try:
        passed = checked_name(name)
    except UserError:
        return
    path = Path(os.path.normpath(Path("/a/b") / passed))
    assert path.is_relative_to("/a/b")
    assert path != Path("/a/b")


@pytest.mark.parametrize(
    "messages",
    [
        [file("a"), file("a")],
        [file("a"), file("A")],
        [file("a"), file("a/b")],
        [file("a/b"), file("a")],
        [file("a/b"), file("A/c")],
        [file("\u00e9"), file("e\u0301")],
        [file("a", digest=bytes(32))],
        [file("a", size=2), file("b")],
        [file("a", size=5, data=b"")],
        [file("a", size=2), file("a", b"yz", offset=1, size=2)],
        [file("a", size=0, data=b"x")],
        [file("a", offset=1)],
        [file("a", size=1 << 30)],
        [file("a"), BundleEnd(digest=bytes(32), files=1)],
        [file("a"), BundleEnd(digest=bytes(32), files=2)],
        [file("a", size=2), BundleEnd(digest=bytes(32), files=1)],
        [BundleEnd(digest=hashlib.sha256().digest(), files=0)] * 2,
        [BundleEnd(digest=hashlib.sha256().digest(), files=0), file("a")],
    ],
)
def test_a_bundle_that_is_none_is_refused(
    messages: list[BundleFile | BundleEnd], tmp_path: Path
) -> None:
    unpacker = Unpacker(within=tmp_path)
    for message in messages[:-1]:
        unpacker.take(message)
    with pytest.raises(UserError):
        unpacker.take(messages[-1])
    unpacker.remove()
    assert list(tmp_path.iterdir()) == []
