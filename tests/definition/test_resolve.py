"""From a launch to everything decided: populations, profiles, bare scenarios, data, secrets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from chaperon_engine.definition.plan import (
    LaunchRequest,
    LoadProfile,
    Plan,
    PopulationPlan,
    ServicePlan,
)
from chaperon_engine.definition.resolve import resolve
from tests.definition.conftest import HEAD, Workbench

SERVICE = "services = {'shop': Service('http://h:1')}\n"
CHECKOUT = Path(__file__).parents[2] / "scenarios" / "checkout.py"


def populations(plan: Plan) -> dict[str, tuple[str, int]]:
    return {found.name: (found.scenario, found.sessions) for found in plan.populations}


def test_the_example_of_the_readme_resolves() -> None:
    test = resolve(LaunchRequest(file=str(CHECKOUT)))
    plan = test.plan
    assert (plan.load_test, plan.file, plan.is_bare) == ("CheckoutTest", str(CHECKOUT), False)
    assert plan.doc == "One customer who signs in and buys."
    (service,) = plan.services
    assert (service.name, service.base_url) == ("shop", "http://127.0.0.1:7070")
    assert (service.headers, service.settings) == ({"X-Test": "1"}, {})
    (population,) = plan.populations
    assert (population.name, population.scenario, population.sessions) == ("buyers", "Checkout", 50)
    assert population.profile == LoadProfile(duration_s=10.0)
    assert (population.graceful_stop_s, population.fresh) == (30.0, False)
    assert test.populations[0].scenario.__name__ == "Checkout"
    assert test.populations[0].services == test.services
    assert plan.planned_s == 10.0
    plan.check_ready()


def test_a_plan_is_plain_data_that_comes_back_whole() -> None:
    plan = resolve(LaunchRequest(file=str(CHECKOUT))).plan
    assert msgspec.json.decode(msgspec.json.encode(plan), type=Plan) == plan


@pytest.mark.parametrize(
    ("scenarios", "names"),
    [
        ("[Buy]", {"Buy": ("Buy", 1)}),
        ("[Buy, Buy]", {"Buy": ("Buy", 1), "Buy-2": ("Buy", 1)}),
        ("[Buy, Population(Look, name='Buy'), Buy]",
         {"Buy-2": ("Buy", 1), "Buy": ("Look", 1), "Buy-3": ("Buy", 1)}),
        ("(Population(Buy, sessions='10k', name='a'), Population(Look, sessions=2))",
         {"a": ("Buy", 10_000), "Look": ("Look", 2)}),
        ("[[Buy, Look]]", {"Buy+Look": ("Buy+Look", 1)}),
        ("[Population([Buy, Look], name='both', sessions=3)]", {"both": ("Buy+Look", 3)}),
    ],
)  # fmt: skip
def test_populations_get_unique_names(
    bench: Workbench, scenarios: str, names: dict[str, tuple[str, int]]
) -> None:
    plan = bench.load_test(SERVICE + f"scenarios = {scenarios}").plan
    assert populations(plan) == names


@pytest.mark.parametrize(
    ("population", "launch", "profile", "sessions"),
    [
        ("Buy", {}, LoadProfile(), 1),
        ("Buy, duration='1m', ramp_up=5", {}, LoadProfile(duration_s=60, ramp_up_s=5), 1),
        ("Buy, duration=10, iterations='1k'", {}, LoadProfile(duration_s=10, iterations=1000), 1),
        ("Buy, sessions=5", {"sessions": {"*": 7}}, LoadProfile(), 7),
        ("Buy, sessions=5", {"sessions": {"Buy": 7, "*": 8}}, LoadProfile(), 7),
        ("Buy, iterations=3", {"duration_s": 9.0}, LoadProfile(duration_s=9), 1),
        ("Buy, duration=3", {"iterations": 9}, LoadProfile(iterations=9), 1),
        ("Buy, duration=3", {"duration_s": 8.0, "shared_iterations": 9},
         LoadProfile(duration_s=8, shared_iterations=9), 1),
        ("Buy, duration=3", {"config": "populations.Buy.duration = 4"},
         LoadProfile(duration_s=4), 1),
        ("Buy, duration=3", {"config": "populations.Buy.sessions = 4"},
         LoadProfile(duration_s=3), 4),
        ("Buy", {"config": "populations.Buy.sessions = 4", "sessions": {"*": 5}}, LoadProfile(), 5),
        ("Buy", {"sessions": {"*": 5}, "overrides": ["populations.Buy.sessions=6"]},
         LoadProfile(), 6),
        ("Buy, duration=3", {"overrides": ["populations.Buy.iterations=6"]},
         LoadProfile(iterations=6), 1),
    ],
)  # fmt: skip
def test_the_launch_decides_over_sessions_and_profile(
    bench: Workbench,
    population: str,
    launch: dict[str, Any],
    profile: LoadProfile,
    sessions: int,
) -> None:
    if "config" in launch:
        launch = dict(launch)
        launch["config_file"] = str(bench.write(launch.pop("config"), "c.toml"))
    (found,) = bench.load_test(
        SERVICE + f"scenarios = [Population({population})]", **launch
    ).plan.populations
    assert (found.profile, found.sessions) == (profile, sessions)


def test_fresh_graceful_stop_and_warmup_arrive(bench: Workbench) -> None:
    body = SERVICE + (
        "warmup = '2s'\nscenarios = [Population(Buy, duration='1m', fresh=True, graceful_stop=5)]"
    )
    plan = bench.load_test(body).plan
    assert (plan.warmup_s, plan.grace_s, plan.populations[0].fresh) == (2, 5, True)
    assert bench.load_test(body, overrides=["warmup=3"]).plan.warmup_s == 3
    assert bench.load_test(body, overrides=["warmup=3"], warmup_s=4.0).plan.warmup_s == 4


def test_a_load_test_that_builds_on_another_has_what_that_one_says(bench: Workbench) -> None:
    plan = bench.resolve(
        HEAD + f"class Base(LoadTest):\n    {SERVICE}    scenarios = [Buy]\n"
        "class T(Base):\n    name = 'The test'\n    warmup = 0\n"
    ).plan
    assert (plan.load_test, plan.services[0].base_url) == ("The test", "http://h:1")


TWO_POPULATIONS = SERVICE + "scenarios = [Population(Buy, name='a'), Population(Look, name='b')]"

MISTAKES: list[tuple[str, dict[str, Any], str]] = [
    (SERVICE, {}, "T has no scenarios; add scenarios = [Population(MyScenario)]"),
    (SERVICE + "scenarios = Buy", {}, "scenarios of T must be a list, not type"),
    (SERVICE + "scenarios = [Buy()]", {},
     "scenario 1 of T is an object; write the class Buy without brackets"),
    (SERVICE + "scenarios = [Buy, 'Look']", {},
     "scenario 2 of T must be a Scenario class, a list of them or a Population, not 'Look'"),
    (SERVICE + "scenarios = [Population(dict)]", {},
     "scenario 1 of T must be a Scenario class, a list of them or a Population, not dict"),
    (SERVICE + "scenarios = [[]]", {},
     "scenario 1 of T must be a Scenario class, a list of them or a Population, not []"),
    (SERVICE + "scenarios = [[Buy, 5]]", {},
     "scenario 1 of T must be a Scenario class, a list of them or a Population, not 5"),
    (SERVICE + "scenarios = [Population(Buy, name='a'), Population(Look, name='a')]", {},
     "2 populations of T are called 'a'; give each a name of its own"),
    (SERVICE + "scenarios = [Population(Buy, name='')]", {},
     "name of scenario 1 of T must not be empty"),
    (SERVICE + "scenarios = [Population(Buy, name=5)]", {},
     "name of scenario 1 of T must be text, not int"),
    (SERVICE + "scenarios = [Population(Buy, sessions=0)]", {},
     "sessions of population 'Buy' must be 1 or more, not 0"),
    (SERVICE + "scenarios = [Population(Buy, sessions='many')]", {},
     "sessions of population 'Buy' is 'many', expected a whole number such as 50, 10k or 1M"),
    (SERVICE + "scenarios = [Population(Buy, duration='10 sec')]", {},
     "duration of population 'Buy' is '10 sec', expected a duration such as 500ms, 30s, 1m30s or "
     "2h"),
    (SERVICE + "scenarios = [Population(Buy, duration=0)]", {},
     "duration of population 'Buy' must be more than zero seconds"),
    (SERVICE + "scenarios = [Population(Buy, fresh=1)]", {},
     "fresh of population 'Buy' must be true or false, not 1"),
    (SERVICE + "scenarios = [Population(Buy, config=5)]", {},
     "the config of population 'Buy' must be a table of settings, not int"),
    (SERVICE + "scenarios = [Population(Buy, iterations=1, shared_iterations=1)]", {},
     "population 'Buy' has both iterations and shared_iterations; keep one of them"),
    (SERVICE + "scenarios = [Population(Buy, duration=5, ramp_up=10)]", {},
     "ramp_up of population 'Buy' takes 10 s, but its duration is only 5 s: some sessions would "
     "never start"),
    (SERVICE + "scenarios = [Population(Buy, duration=5)]\nwarmup = 5", {},
     "warmup takes 5 s of a run of 5 s: nothing would be left to measure"),
    (SERVICE + "scenarios = [Buy]\nwarmup = 'x'", {},
     "warmup of T is 'x', expected a duration such as 500ms, 30s, 1m30s or 2h"),
    (SERVICE + "scenarios = [Buy]\nname = 5", {}, "name of T must be text, not int"),
    ("services = ['http://h']\nscenarios = [Buy]", {},
     "services of T must be a table of names and services, not list"),
    ("services = {'shop': 'http://h'}\nscenarios = [Buy]", {},
     "services.shop of T must be a Service, not str; write Service(\"http://HOST:PORT\")"),
    ("services = {5: Service('http://h')}\nscenarios = [Buy]", {},
     "the name of services.5 of T must be text, not int"),
    ("services = {'shop': Service('h:80')}\nscenarios = [Buy]", {},
     "base_url of services.shop of T is 'h:80', which does not begin with http://; did you mean "
     "http://h:80?"),
    ("services = {'shop': Service('http://ann:pw@h')}\nscenarios = [Buy]", {},
     "base_url of services.shop of T has credentials in it; put them into basic_auth=(user, "
     "password)"),
    ("services = {'shop': Service('http://h', bearer='a', basic_auth=('b', 'c'))}\n"
     "scenarios = [Buy]", {},
     "services.shop of T has both basic_auth and bearer; keep one of them"),
    ("services = {'shop': Service('http://h', tls=Tls(key_file=__file__))}\nscenarios = [Buy]", {},
     "service 'shop' has a key_file but no cert_file"),
    (TWO_POPULATIONS, {"sessions": {"*": 5}},
     "there are several populations, so sessions need a name: a and b; write --sessions a=N"),
    (TWO_POPULATIONS, {"sessions": {"c": 5}},
     "unknown population 'c' in --sessions; known are a and b"),
    (SERVICE + "scenarios = [Buy]", {"sessions": {"*": 0}},
     "sessions must be more than zero, not 0"),
    (SERVICE + "scenarios = [Buy]", {"duration_s": -1.0},
     "duration must be more than zero, not -1.0"),
    (SERVICE + "scenarios = [Buy]", {"pick": "S"},
     "there is no load test or scenario 'S'; known are T, Buy and Look"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "launch", "message"), MISTAKES)
def test_a_mistake_is_one_sentence(
    bench: Workbench, body: str, launch: dict[str, Any], message: str
) -> None:
    assert bench.error(bench.load_test, body, **launch).message == message


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("pass", "scenario A has no run; add 'async def run(self, session)'"),
        ("def run(self, session): ...", "run of scenario A must be 'async def'"),
        ("async def run(self, session):\n        yield 1",
         "run of scenario A must not use 'yield'"),
        ("async def run(self, session): ...\n    def init(self, session): ...",
         "init of scenario A must be 'async def'"),
        ("async def run(self): ...",
         "run of scenario A must take the session and nothing else: "
         "'async def run(self, session)'"),
        ("async def run(self, session): ...\n    async def init(self, session, user): ...",
         "init of scenario A must take the session and nothing else: "
         "'async def init(self, session)'"),
        ("run = 5", "run of scenario A must be 'async def', not 5"),
        ("async def run(self, session): ...\n    def __init__(self, user): ...",
         "scenario A takes arguments in __init__; a session makes it without any, so give values "
         "in the config instead"),
    ],
)  # fmt: skip
def test_a_scenario_that_cannot_run_is_named_with_its_line(
    bench: Workbench, body: str, message: str
) -> None:
    text = f"from chaperon_engine import Scenario\n\nclass A(Scenario):\n    {body}\n"
    error = bench.error(bench.resolve, text)
    assert (error.message, error.line) == (message, 3)


def test_a_decorated_run_is_trusted(bench: Workbench) -> None:
    bench.resolve(
        "import functools\nfrom chaperon_engine import Scenario\n"
        "def with_user(f):\n    @functools.wraps(f)\n"
        "    def g(self, session): return f(self, session, 'ann')\n    return g\n"
        "class A(Scenario):\n    @with_user\n    async def run(self, session, user): ...\n"
        "    @staticmethod\n    async def init(session): ...\n"
    )


def test_a_file_with_a_scenario_alone_asks_for_its_base_url(bench: Workbench) -> None:
    text = (
        "from chaperon_engine import Scenario\nclass A(Scenario):\n"
        "    '''Walks.\n\n    More.'''\n    async def run(self, session): ...\n"
    )
    plan = bench.resolve(text).plan
    assert (plan.is_bare, plan.load_test, plan.doc) == (True, "A", "Walks.")
    assert [(service.name, service.base_url) for service in plan.services] == [("default", "")]
    assert (populations(plan), plan.populations[0].profile) == ({"A": ("A", 1)}, LoadProfile())
    error = bench.error(plan.check_ready)
    assert error.message == (
        "service 'default' has no base URL; say it with --set base_url=http://HOST:PORT"
    )
    ready = bench.resolve(text, overrides=["base_url=http://h"], sessions={"*": 5}).plan
    assert (ready.is_bare, ready.sessions) == (True, 5)
    ready.check_ready()


def test_one_of_several_services_without_a_base_url_is_named(bench: Workbench) -> None:
    plan = bench.load_test(
        "services = {'a': Service('http://h'), 'b': Service('')}\nscenarios = [Buy]"
    ).plan
    assert bench.error(plan.check_ready).message == (
        "service 'b' has no base URL; say it with --set services.b.base_url=http://HOST:PORT"
    )


def test_a_scenario_of_a_load_test_can_be_launched_alone_with_its_services(
    bench: Workbench,
) -> None:
    plan = bench.load_test(
        SERVICE + "scenarios = [Buy]\ndefault_config = {'delay': 1}", pick="Look"
    ).plan
    assert (plan.load_test, plan.is_bare, plan.services[0].base_url) == (
        "Look",
        False,
        "http://h:1",
    )
    assert plan.populations[0].config == {"delay": 1.0}


def test_secrets_are_masked_in_the_plan_and_kept_for_the_sessions(bench: Workbench) -> None:
    test = bench.load_test(
        """
        services = {"shop": Service("http://h", bearer="hush1",
                                    headers={"X-Api-Key": "hush2", "Cookie": "hush3",
                                             "X-A": "shown"}),
                    "push": Service("http://h", basic_auth=("ann", "hush4"))}
        default_config = {"config": {"password": "hush5",
                                     "users": [{"token": "hush6", "name": "shown"}],
                                     "plain": Secret("hush7"), "db": "pg://ann:hush8@h/x",
                                     "secrets": {"a": "hush9"}}}
        scenarios = [Population(Buy, config={"bearer": "hush10"})]
        """
    )
    shown = msgspec.json.encode(test.plan).decode() + repr(test)
    assert [f"hush{n}" for n in range(1, 11) if f"hush{n}" in shown] == []
    assert test.plan.services[0].headers == {"X-Api-Key": "***", "Cookie": "***", "X-A": "shown"}
    assert test.plan.services[0].settings == {"bearer": "***"}
    assert test.plan.services[1].settings == {"basic_auth": "***"}
    assert test.plan.populations[0].config["config"] == {
        "password": "***",
        "users": [{"token": "***", "name": "shown"}],
        "plain": "***",
        "db": "pg://***@h/x",
        "secrets": "***",
    }
    assert test.services["push"].basic_auth == ("ann", "hush4")
    assert test.populations[0].services["shop"].bearer == "hush10"
    assert test.populations[0].config["plain"] == "hush7"


def test_the_plan_shows_what_differs_from_the_built_in_values(bench: Workbench) -> None:
    test = bench.load_test(
        """
        services = {"shop": Service("http://h", timeout="5s", tls=Tls(ca_file=__file__))}
        scenarios = [Population(Buy, config={"delay": "1s", "services": {"shop": {"timeout": 6}},
                                             "interval": ("1s", print)})]
        """
    )
    file = str(bench.folder / "load.py")
    assert test.plan.services[0].settings == {"timeout": 5.0, "tls": {"ca_file": file}}
    assert test.plan.populations[0].config == {
        "delay": 1.0,
        "interval": [1.0, "<function print>"],
        "services": {"shop": {"timeout": 6.0}},
    }
    assert test.populations[0].services["shop"].timeout_s == 6
    assert test.services["shop"].timeout_s == 5


DATA = """
name = "From data"
doc = "Buys a little."
warmup = "1s"
[services]
shop = "http://h:1"
push = { base_url = "http://h:2", timeout = "5s" }
[default_config]
delay = 1
[[scenarios]]
scenario = "inner/walks.py:Buy"
name = "buyers"
sessions = "1k"
duration = "10s"
config = { delay = 2 }
[[scenarios]]
scenario = ["inner/walks.py:Buy", "inner/walks.py:Look"]
"""


def test_a_load_test_can_be_plain_data(bench: Workbench) -> None:
    bench.write(HEAD, "inner/walks.py")
    test = bench.resolve(DATA, "load.toml")
    plan = test.plan
    assert (plan.load_test, plan.doc, plan.warmup_s) == ("From data", "Buys a little.", 1)
    assert plan.file == str(bench.folder / "load.toml")
    assert populations(plan) == {"buyers": ("Buy", 1000), "Buy+Look": ("Buy+Look", 1)}
    assert (test.services["push"].timeout_s, test.services["shop"].base_url) == (5, "http://h:1")
    assert [population.settings.delay_s for population in test.populations] == [2, 1]


def test_a_load_test_as_json_takes_scenarios_as_words(bench: Workbench) -> None:
    bench.write("from chaperon_engine import Scenario\nclass A(Scenario):\n"
                "    async def run(self, session): ...\n", "a.py")  # fmt: skip
    plan = bench.resolve('{"scenarios": ["a.py:A", "a.py"]}', "quick.json").plan
    assert (plan.load_test, populations(plan)) == ("quick", {"A": ("A", 1), "A-2": ("A", 1)})


def test_data_names_scenarios_by_file_or_module_below_its_folder(bench: Workbench) -> None:
    bench.write(HEAD, "walks.py")
    bench.write("from lib.shared import *\n" + HEAD, "lib/more.py")
    bench.write("WORDS = []\n", "lib/shared.py")
    bench.write(HEAD, "package/__init__.py")
    (bench.folder / "inner.py").symlink_to(bench.folder / "walks.py")
    names = ["walks:Buy", "lib.more:Buy", "lib/more.py:Look", "package:Buy", "inner.py:Buy",
             f"{bench.folder}/walks.py:Look", "lib/../walks.py:Look"]  # fmt: skip
    data = msgspec.json.encode({"scenarios": names}).decode()
    plan = bench.resolve(data, "load.json").plan
    assert [found.scenario for found in plan.populations] == [
        "Buy", "Buy", "Look", "Buy", "Buy", "Look", "Look",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "reference",
    ["../out.py:Buy", "OUT/out.py:Buy", "link.py:Buy", "linked/out.py:Buy", "linked.out:Buy",
     "loop.py:Buy", "a/../../out.py:Buy", "nul\0.py:Buy", "half\ud800.py:Buy"],
)  # fmt: skip
def test_data_names_no_scenario_file_outside_of_its_folder(
    bench: Workbench, reference: str
) -> None:
    out = bench.folder / "out"
    bench.write(HEAD, "out/out.py")
    bench.folder = bench.folder / "own"
    bench.write(HEAD, "walks.py")
    (bench.folder / "link.py").symlink_to(out / "out.py")
    (bench.folder / "linked").symlink_to(out)
    (bench.folder / "loop.py").symlink_to(bench.folder / "loop.py")
    table = {"scenarios": ["walks:Buy", reference.replace("OUT", str(out))]}
    request = LaunchRequest(data=table, folder=str(bench.folder))
    message = bench.error(resolve, request).message
    assert message.startswith("scenario 2 of the load test is '")
    assert message.endswith(
        f"'; scenario files must lie in the folder of the load test, {bench.folder}"
    )


@pytest.mark.parametrize("reference", ["os", "os:Buy", "chaperon_engine.definition.model:Scenario"])
def test_a_module_in_data_is_never_one_that_is_installed(bench: Workbench, reference: str) -> None:
    request = LaunchRequest(data={"scenarios": [reference]}, folder=str(bench.folder))
    error = bench.error(resolve, request)
    assert "there is no such file" in error.message or "does not exist" in error.message
    assert str(error.path).startswith(str(bench.folder))


@pytest.mark.parametrize("reference", ["walks-1.txt:Buy", "a b:Buy", ":Buy", "walks.:Buy", [5]])
def test_a_reference_that_is_neither_file_nor_module_says_what_to_write(
    bench: Workbench, reference: Any
) -> None:
    request = LaunchRequest(data={"scenarios": [{"scenario": reference}]}, folder="/")
    message = bench.error(resolve, request).message
    assert message.endswith('must name a scenario as "file.py:Class" or "module:Class"')


TLS = "{ ca_file = '../ca.pem' }"


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (f"[services.shop]\nbase_url = 'http://h'\ntls = {TLS}", 5),
        (f"[default_config]\ntls = {TLS}", 4),
        (f"[default_config]\nhttp.tls = {TLS}", 4),
        (f"[default_config.services.default]\ntls = {TLS}", 4),
        (f"config.tls = {TLS}", 3),
        ("config.tls.ca_file = '/etc/passwd'", 3),
        ("config.tls.ca_file = '~/ca.pem'", 3),
    ],
)
def test_data_names_no_tls_file_outside_of_its_folder(
    bench: Workbench, data: str, line: int
) -> None:
    bench.write(HEAD, "own/walks.py")
    bench.write("pem", "ca.pem")
    error = bench.error(bench.resolve, WALK + data, "own/load.toml")
    assert (
        f"must lie in the folder of the load test, {bench.folder}/own, for it is plain data"
        in (error.message.splitlines()[0])
    )
    assert (f"{bench.folder}/own/load.toml:{line}: ca_file of tls") in str(error)


def test_the_launch_may_name_any_tls_file_for_data(bench: Workbench) -> None:
    bench.write(HEAD, "own/walks.py")
    bench.write("pem", "ca.pem")
    bench.write("pem", "own/ca.pem")
    data = WALK + "config.tls.ca_file = 'ca.pem'"
    test = bench.resolve(data, "own/load.toml", overrides=["tls.ca_file=../ca.pem"])
    assert test.services["default"].tls.ca_file == bench.folder / "own" / ".." / "ca.pem"


def test_a_load_test_can_come_as_data_with_the_launch(bench: Workbench) -> None:
    bench.write(HEAD, "walks.py")
    table = {
        "name": "Nightly",
        "services": {"shop": "http://h:1"},
        "scenarios": [{"scenario": "walks:Buy", "sessions": 5}],
        "default_config": {"delay": 1, "config": {"words": ["tea"]}},
    }
    request = LaunchRequest(data=table, folder=str(bench.folder), overrides=["timeout=5"])
    sent = msgspec.msgpack.decode(msgspec.msgpack.encode(request), type=LaunchRequest)
    test = resolve(sent)
    plan = test.plan
    assert (plan.load_test, plan.file, plan.sessions) == ("Nightly", "", 5)
    assert (test.services["shop"].base_url, test.services["shop"].timeout_s) == ("http://h:1", 5)
    assert test.populations[0].config == {"words": ["tea"]}
    assert resolve(msgspec.structs.replace(request, data={"scenarios": ["walks:Buy"]})).plan == (
        Plan(
            load_test="LoadTest",
            file="",
            services=[ServicePlan(name="default", base_url="", settings={"timeout": 5.0})],
            populations=[PopulationPlan(
                name="Buy", scenario="Buy", sessions=1, profile=LoadProfile(),
                config={"timeout": 5.0},
            )],
        )
    )  # fmt: skip


def test_data_without_a_folder_is_refused(bench: Workbench) -> None:
    error = bench.error(resolve, LaunchRequest(data={"scenarios": ["walks:Buy"]}))
    assert str(error) == "a load test as plain data needs the absolute path of its folder"


DATA_WITH_MISTAKES = """\
name = ""
nmae = "x"
doc = 5

[services]
shop = "h:1"

[services.push]
base_url = "http://h"
timeout = "never"

[default_config]
delay = "x"
services.push.pool = "y"

[[scenarios]]
scenario = "walks:Buy"
sessions = "many"

[[scenarios]]
scenario = "walks:Buy"
name = "twice"
session = 5
config.random_delay = "x"

[[scenarios]]
name = "none"

[[scenarios]]
scenario = [
  "walks:Buy",
  "../walks.py:Buy",
]

[[scenarios]]
name = "twice"
scenario = "walks:Look"
duration = 1
ramp_up = 2
"""


def test_every_mistake_in_data_has_the_line_of_its_key(bench: Workbench) -> None:
    bench.write(HEAD, "walks.py")
    error = bench.error(bench.resolve, DATA_WITH_MISTAKES, "load.toml")
    rows = DATA_WITH_MISTAKES.splitlines()
    places = [line.partition(": ")[0].rpartition(":")[2] for line in error.message.splitlines()]
    numbers = [index for index, row in enumerate(rows, 1) if row and (
        row in ('name = ""', 'nmae = "x"', "doc = 5", 'shop = "h:1"', 'timeout = "never"',
                'delay = "x"', 'services.push.pool = "y"', 'sessions = "many"', "session = 5",
                'config.random_delay = "x"', '  "../walks.py:Buy",', "ramp_up = 2")
    )]  # fmt: skip
    numbers.append(rows.index('name = "none"'))  # Of the header above it: a key is missing.
    numbers.append(len(rows) - rows[::-1].index('name = "twice"'))
    assert sorted(map(int, places)) == sorted(numbers)


def test_what_is_no_scenario_is_named_by_its_class_with_file_and_line(bench: Workbench) -> None:
    text = HEAD + (
        "class Plain: ...\ndef walk(session): ...\n"
        "class T(LoadTest):\n    scenarios = [Plain, Plain(), walk, [Buy, Plain], "
        "Population(Plain), Population(Population(Buy)), type('Made', (), {}), 5]\n"
    )
    lines = bench.error(bench.resolve, text).message.splitlines()
    head = "must be a Scenario class, a list of them or a Population, not "
    assert [line.partition(head)[2] for line in lines] == [
        "the class Plain (load.py:12)",
        "an object of Plain (load.py:12)",
        "the function walk (load.py:13)",
        "the class Plain (load.py:12)",
        "the class Plain (load.py:12)",
        "<Population>",
        "the class Made (load.py)",
        "5",
    ]


WALK = '[[scenarios]]\nscenario = "walks.py:Buy"\n'
NO_SCENARIOS = (
    "load.toml has no scenarios; add a list of tables called scenarios, each with scenario = "
    '"file.py:Class"'
)


@pytest.mark.parametrize(
    ("data", "launch", "message"),
    [
        ("", {}, NO_SCENARIOS),
        ("scenarios = 5", {}, NO_SCENARIOS),
        ("scenarios = [5]", {}, "scenario 1 of load.toml must be a table, not int"),
        ("service = 5\n" + WALK, {},
         "unknown key 'service' in load.toml; did you mean 'services'?"),
        ("services = 5\n" + WALK, {},
         "services of load.toml must be a table of names and services, not int"),
        ("services.a = 5\n" + WALK, {},
         "services.a of load.toml must be a Service, not int; write Service(\"http://HOST:PORT\")"),
        ("services.a = 'h'\n" + WALK, {},
         "base_url of services.a of load.toml is 'h', which does not begin with http://; did you "
         "mean http://h?"),
        ("name = 5\n" + WALK, {}, "name in load.toml must be text, not int"),
        ("warmup = 'x'\n" + WALK, {},
         "warmup in load.toml is 'x', expected a duration such as 500ms, 30s, 1m30s or 2h"),
        ("default_config.timeuot = 5\n" + WALK, {},
         "unknown setting 'timeuot' in default_config of load; did you mean 'timeout'? Your own "
         "keys go below 'config'."),
        ("[[scenarios]]\nname = 'a'", {},
         'scenario 1 of load.toml does not say which; add scenario = "file.py:Class"'),
        (WALK + "session = 5", {},
         "unknown key 'session' of scenario 1 of load.toml; did you mean 'sessions'?"),
        (WALK + "sessions = 0", {}, "sessions of population 'Buy' must be 1 or more, not 0"),
        (WALK + "name = ''", {}, "name of scenario 1 of load.toml must not be empty"),
        ("[[scenarios]]\nscenario = 5", {},
         'scenario 1 of load.toml must name a scenario as "file.py:Class" or "module:Class"'),
        ("[[scenarios]]\nscenario = '../x.py:A'", {},
         "scenario 1 of load.toml is '../x.py:A'; scenario files must lie in the folder of the "
         "load test, FOLDER"),
        ("[[scenarios]]\nscenario = '/etc/x.py:A'", {},
         "scenario 1 of load.toml is '/etc/x.py:A'; scenario files must lie in the folder of the "
         "load test, FOLDER"),
        ("[[scenarios]]\nscenario = 'link.py:A'", {},
         "scenario 1 of load.toml is 'link.py:A'; scenario files must lie in the folder of the "
         "load test, FOLDER"),
        ("[[scenarios]]\nscenario = 'walks.py:Bye'", {},
         "there is no load test or scenario 'Bye'; did you mean 'Buy'?"),
        ("[[scenarios]]\nscenario = 'walk.py:Buy'", {},
         "there is no such file; did you mean 'walks.py'?"),
        ("[[scenarios]]\nscenario = 'whole.py'", {},
         "scenario 1 of load.toml is 'whole.py', which is a load test; name a scenario"),
        (WALK, {"pick": "Other"}, "there is no load test 'Other'; known are load"),
        ("a = ", {}, "no valid TOML: Invalid value"),
    ],
)  # fmt: skip
def test_a_mistake_in_data_is_one_sentence(
    bench: Workbench, data: str, launch: dict[str, Any], message: str
) -> None:
    bench.write(HEAD, "walks.py")
    bench.write(HEAD + f"class T(LoadTest):\n    {SERVICE}    scenarios = [Buy]\n", "whole.py")
    (bench.folder / "link.py").symlink_to(__file__)
    error = bench.error(bench.resolve, data, "load.toml", **launch)
    assert error.message == message.replace("FOLDER", str(bench.folder))
