"""Settings from all places: who wins, and the sentence for each mistake."""

from __future__ import annotations

import os
from typing import Any

import pytest

from chaperon_engine.definition.layers import deep_merge, merge_settings
from chaperon_engine.definition.model import Tls
from tests.definition.conftest import Workbench

ONE = "services = {'shop': Service('http://h:1')}\nscenarios = [Buy]\n"
TWO = (
    "services = {'shop': Service('http://h:1'), 'push': Service('http://h:2')}\n"
    "scenarios = [Population(Buy, name='buyers'), Population(Look, name='lookers')]\n"
)


@pytest.mark.parametrize(
    ("base", "over", "merged"),
    [
        ({"a": 1}, {"b": 2}, {"a": 1, "b": 2}),
        ({"a": {"b": 1, "c": 1}}, {"a": {"c": 2}}, {"a": {"b": 1, "c": 2}}),
        ({"a": {"b": 1}}, {"a": 5}, {"a": 5}),
        ({"a": 5}, {"a": {"b": 1}}, {"a": {"b": 1}}),
        ({"a": [1]}, {"a": [2]}, {"a": [2]}),
    ],
)
def test_tables_are_merged_and_everything_else_replaces(
    base: dict[str, Any], over: dict[str, Any], merged: dict[str, Any]
) -> None:
    assert deep_merge(base, over) == merged


def test_merging_leaves_its_arguments_alone() -> None:
    base: dict[str, Any] = {"a": {"b": 1}}
    over: dict[str, Any] = {"a": {"c": {"d": 1}}}
    merged = deep_merge(base, over)
    merged["a"]["c"]["d"] = 2
    assert (base, over) == ({"a": {"b": 1}}, {"a": {"c": {"d": 1}}})


def test_headers_are_merged_ignoring_case_and_credentials_replace_each_other() -> None:
    merged = merge_settings(
        {"headers": {"X-Test": "1", "Accept": "a"}, "bearer": "t", "tls": {"insecure": True}},
        {"headers": {"x-test": "2"}, "basic_auth": ("a", "b"), "tls": {"server_name": "n"}},
    )
    assert merged == {
        "headers": {"Accept": "a", "x-test": "2"},
        "basic_auth": ("a", "b"),
        "tls": {"insecure": True, "server_name": "n"},
    }


PLACES: list[tuple[str, str, dict[str, Any]]] = [
    ("default_config", "default_config = {'timeout': 1}", {}),
    ("service", "services = {'shop': Service('http://h', timeout=2)}", {}),
    ("population", "scenarios = [Population(Buy, config={'timeout': 3})]", {}),
    ("population's service",
     "scenarios = [Population(Buy, config={'timeout': 3, 'services': {'shop': {'timeout': 4}}})]",
     {}),
    ("--config", "", {"config": "timeout = 5"}),
    ("--config's service", "", {"config": "timeout = 5\n[services.shop]\ntimeout = 6"}),
    ("--config's population", "",
     {"config": "timeout = 5\nservices.shop.timeout = 6\n[populations.Buy.config]\ntimeout = 7"}),
    ("--set", "", {"overrides": ["timeout=8"]}),
    ("--set's service", "", {"overrides": ["timeout=8", "services.shop.timeout=9"]}),
    ("--set's population", "",
     {"overrides": ["timeout=8", "services.shop.timeout=9", "populations.Buy.config.timeout=10"]}),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(PLACES)), ids=[place[0] for place in PLACES])
def test_each_place_wins_over_all_below_it(bench: Workbench, number: int) -> None:
    lines = {"services": "services = {'shop': Service('http://h')}", "scenarios": "scenarios=[Buy]"}
    launch: dict[str, Any] = {}
    for _, line, given in PLACES[: number + 1]:
        lines[line.partition(" =")[0]] = line
        launch.update(given)
    if "config" in launch:
        launch["config_file"] = str(bench.write(launch.pop("config"), "c.toml"))
    test = bench.load_test("\n".join(lines.values()), **launch)
    assert test.populations[0].services["shop"].timeout_s == number + 1


def test_built_in_values_stand_where_nothing_is_said(bench: Workbench) -> None:
    service = bench.load_test(ONE).services["shop"]
    assert (service.timeout_s, service.connect_timeout_s, service.first_byte_timeout_s) == (
        30.0,
        10.0,
        30.0,
    )
    assert (service.max_connections, service.pool, service.max_redirects) == (6, "session", 10)
    assert (service.ws_compression, service.ws_ping_interval_s) == (False, None)
    assert (service.ws_max_message_bytes, service.ws_max_queue) == (16 * 1024 * 1024, 1024)
    assert (service.max_body_bytes, service.max_header_bytes) == (64 * 2**20, 64 * 2**10)
    assert (service.tls, service.headers, service.bearer) == (Tls(), {}, None)


def test_the_first_byte_timeout_follows_the_timeout_until_it_is_said(bench: Workbench) -> None:
    assert bench.load_test(ONE, overrides=["timeout=5"]).services["shop"].first_byte_timeout_s == 5
    service = bench.load_test(ONE, overrides=["timeout=5", "first_byte_timeout=2s"]).services[
        "shop"
    ]
    assert (service.timeout_s, service.first_byte_timeout_s) == (5, 2)


def test_every_setting_of_a_service_arrives_typed(bench: Workbench) -> None:
    (bench.folder / "ca.pem").write_text("x")
    test = bench.load_test(
        """
        services = {"shop": Service(
            "https://h", headers={"X-A": "1"}, basic_auth=("ann", "pw"), tls=Tls(ca_file="ca.pem"),
            timeout="1m", connect_timeout="2s", tls_timeout=3, first_byte_timeout="4s",
            max_connections=7, pool="worker", max_header_bytes="8KiB", max_headers=9,
            max_body_bytes=10, max_decoded_bytes="11kB", max_redirects=0,
            ws_compression=True, ws_ping_interval="5s", ws_ping_timeout=2,
            ws_max_message_bytes="1kB", ws_max_queue=3)}
        scenarios = [Buy]
        """,
        overrides=["insecure=true", "tls.server_name=name", "http.max_headers=12"],
    )
    service = test.services["shop"]
    assert service.tls == Tls(ca_file=bench.folder / "ca.pem", insecure=True, server_name="name")
    assert (service.timeout_s, service.connect_timeout_s, service.tls_timeout_s) == (60, 2, 3)
    assert (service.first_byte_timeout_s, service.max_connections, service.pool) == (4, 7, "worker")
    assert (service.max_header_bytes, service.max_headers, service.max_body_bytes) == (8192, 12, 10)
    assert (service.max_decoded_bytes, service.max_redirects) == (11_000, 0)
    assert (service.ws_compression, service.ws_ping_interval_s) == (True, 5)
    assert (service.ws_ping_timeout_s, service.ws_max_message_bytes) == (2, 1_000)
    assert service.ws_max_queue == 3
    assert (service.basic_auth, service.headers) == (("ann", "pw"), {"X-A": "1"})


def test_settings_of_sessions_and_of_the_test_arrive_typed(bench: Workbench) -> None:
    test = bench.load_test(
        ONE + "def tick(session): ...\n"
        "default_config = {'delay': '1s', 'random_delay': 2, 'scenario_timeout': '1m',"
        " 'load_test_timeout': '1h', 'interval': ('5s', tick), 'merge_scenario_sessions': True,"
        " 'skip_query_params_in_metrics': True, 'store_results': True, 'session_name': 'all',"
        " 'max_series': '1k', 'warmup': 0, 'config': {'own': {'key': 1}}}",
    )
    settings = test.populations[0].settings
    assert (settings.delay_s, settings.random_delay_s, settings.scenario_timeout_s) == (1, 2, 60)
    assert settings.interval is not None
    assert settings.interval.period_s == 5
    assert settings.store_results
    assert settings.skip_query_params_in_metrics
    assert test.populations[0].session_label == ""
    assert (test.plan.timeout_s, test.plan.max_series, test.plan.warmup_s) == (3600, 1000, 0)
    assert test.populations[0].config == {"own": {"key": 1}}


def test_own_keys_are_merged_from_all_places_and_functions_are_kept(bench: Workbench) -> None:
    test = bench.load_test(
        """
        services = {'shop': Service('http://h')}
        default_config = {'config': {'a': {'x': 1, 'y': 1}, 'make': lambda session: 5}}
        scenarios = [Population(Buy, config={'config': {'a': {'y': 2}, 'b': 1}})]
        """,
        overrides=["config.b=2", "populations.Buy.config.config.c=3"],
    )
    config = test.populations[0].config
    assert config["make"](None) == 5
    assert {key: value for key, value in config.items() if key != "make"} == {
        "a": {"x": 1, "y": 2},
        "b": 2,
        "c": 3,
    }
    assert test.plan.populations[0].config["config"]["make"] == "<function <lambda>>"


def test_none_means_that_nothing_is_said(bench: Workbench) -> None:
    test = bench.load_test(ONE + "default_config = {'timeout': None, 'config': None}")
    assert test.services["shop"].timeout_s == 30


OWN_KEYS = " Your own keys go below 'config'."

MISTAKES: list[tuple[str, dict[str, Any], str]] = [
    (ONE + "default_config = {'timeuot': 5}", {},
     "unknown setting 'timeuot' in default_config of T; did you mean 'timeout'?" + OWN_KEYS),
    (ONE + "default_config = {'zzz': 5}", {},
     "unknown setting 'zzz' in default_config of T." + OWN_KEYS),
    (ONE + "default_config = {'TimeOut': 5}", {},
     "unknown setting 'TimeOut' in default_config of T; did you mean 'timeout'?" + OWN_KEYS),
    (ONE + "default_config = [1]", {},
     "default_config of T must be a table of settings, not list"),
    (ONE + "default_config = {'timeout': '10x'}", {},
     "timeout in default_config of T is '10x', expected a duration such as 500ms, 30s, 1m30s or "
     "2h"),
    (ONE + "default_config = {'config': 5}", {},
     "config in default_config of T must be a table of your own keys, not int"),
    (ONE + "default_config = {'http': 5}", {},
     "http in default_config of T must be a table of connection settings, not int"),
    (ONE + "default_config = {'http': {'timeot': 5}}", {},
     "unknown setting 'timeot' of http in default_config of T; did you mean 'timeout'?"),
    (ONE + "default_config = {'http': {'timeout': 5}, 'timeout': 6}", {},
     "timeout stands twice in default_config of T, also as http.timeout; keep one of them"),
    (ONE + "default_config = {'http': {'base_url': 'http://h'}}", {},
     "base_url in default_config of T stands below http; it belongs beside it"),
    (ONE + "default_config = {'insecure': 'yes'}", {},
     "insecure of default_config of T must be true or false, not 'yes'"),
    (ONE + "default_config = {'bearer': 'a', 'basic_auth': 'b:c'}", {},
     "default_config of T has both basic_auth and bearer; keep one of them"),
    (ONE + "default_config = {'populations': {'Buy': {'sessions': 5}}}", {},
     "populations in default_config of T is only for the launch (--config and --set); here, write "
     "it into Population(...)"),
    (ONE + "default_config = {'services': 5}", {},
     "services in default_config of T must be a table of services, not int"),
    (ONE + "default_config = {'services': {'shop': 5}}", {},
     "services.shop in default_config of T must be a table of settings, not int"),
    (ONE + "default_config = {'services': {'shp': {}}}", {},
     "unknown service 'shp' in default_config of T; did you mean 'shop'?"),
    (ONE + "default_config = {'services': {'shop': {'delay': 5}}}", {},
     "delay of services.shop in default_config of T is no setting of a service; put it beside "
     "'services'"),
    (ONE + "default_config = {'services': {'shop': {'zzz': 5}}}", {},
     "unknown setting 'zzz' of services.shop in default_config of T; known are base_url, headers, "
     "basic_auth, bearer, tls, timeout, connect_timeout, tls_timeout, first_byte_timeout, "
     "max_connections, pool, max_header_bytes, max_headers, max_body_bytes, max_decoded_bytes, "
     "max_redirects, ws_compression, ws_ping_interval, ws_ping_timeout, ws_max_message_bytes and 2 "
     "more"),
    (ONE + "scenarios = [Population(Buy, config={'max_series': 5})]", {},
     "max_series in the config of population 'Buy' holds for the whole load test; put it into "
     "default_config"),
    (ONE + "scenarios = [Population(Buy, config={'delay': '1y'})]", {},
     "delay in the config of population 'Buy' is '1y', expected a duration such as 500ms, 30s, "
     "1m30s or 2h"),
    (ONE, {"overrides": ["timeuot=5"]},
     "unknown setting 'timeuot' in --set; did you mean 'timeout'?" + OWN_KEYS),
    (ONE, {"overrides": ["population.Buy.sessions=5"]},
     "unknown setting 'population' in --set; did you mean 'populations'?" + OWN_KEYS),
    (ONE, {"overrides": ["timeout=abc"]},
     "timeout in --set is 'abc', expected a duration such as 500ms, 30s, 1m30s or 2h"),
    (ONE, {"overrides": ["services.shop.timeout=abc"]},
     "timeout of services.shop in --set is 'abc', expected a duration such as 500ms, 30s, 1m30s "
     "or 2h"),
    (ONE, {"overrides": ["populations.Bye.sessions=5"]},
     "unknown population 'Bye' in --set; did you mean 'Buy'?"),
    (ONE, {"overrides": ["populations=5"]},
     "populations in --set must be a table of populations, not int"),
    (ONE, {"overrides": ["populations.Buy=5"]},
     "populations.Buy in --set must be a table of settings, not int"),
    (ONE, {"overrides": ["populations.Buy.session=5"]},
     "unknown setting 'session' of populations.Buy in --set; did you mean 'sessions'?"),
    (ONE, {"overrides": ["populations.Buy.sessions=0"]},
     "sessions of populations.Buy in --set must be 1 or more, not 0"),
    (ONE, {"overrides": ["populations.Buy.config.delay=x"]},
     "delay in populations.Buy.config in --set is 'x', expected a duration such as 500ms, 30s, "
     "1m30s or 2h"),
    (ONE, {"overrides": ["base_url=h:80"]},
     "base_url in --set is 'h:80', which does not begin with http://; did you mean http://h:80?"),
    (TWO, {"overrides": ["base_url=http://h"]},
     "base_url in --set means the only service, but there are several: shop and push; write "
     "services.shop.base_url"),
    (TWO + "default_config = {'base_url': 'http://h'}", {},
     "base_url in default_config of T means the only service, but there are several: shop and "
     "push; write services.shop.base_url"),
    (ONE, {"overrides": ["tls.ca_file=/no/such.pem"]},
     "ca_file of service 'shop' does not exist: /no/such.pem"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "launch", "message"), MISTAKES)
def test_a_mistake_is_one_sentence(
    bench: Workbench, body: str, launch: dict[str, Any], message: str
) -> None:
    assert bench.error(bench.load_test, body, **launch).message == message


def test_a_mistake_in_the_class_names_its_file_and_line(bench: Workbench) -> None:
    error = bench.error(bench.load_test, ONE + "default_config = {'timeuot': 5}")
    assert (error.path, error.line) == (str(bench.folder / "load.py"), 12)


def test_a_mistake_in_the_config_file_names_file_and_line(bench: Workbench) -> None:
    path = bench.write("[services.shop]\ntimeot = 5\n", "stage.toml")
    error = bench.error(bench.load_test, ONE, config_file=str(path))
    assert str(error) == (
        f"{path}:2: unknown setting 'timeot' of services.shop in stage.toml; did you mean "
        "'timeout'?"
    )


def test_all_mistakes_are_told_at_once_each_with_its_place(bench: Workbench) -> None:
    path = bench.write("delay = 'x'\n", "stage.toml")
    error = bench.error(
        bench.load_test,
        ONE + "default_config = {'timeout': 'x', 'pool': 'y'}",
        config_file=str(path),
        overrides=["max_series=0"],
    )
    place = os.path.join(bench.folder, "load.py:12")
    ending = "is 'x', expected a duration such as 500ms, 30s, 1m30s or 2h"
    assert error.message.splitlines() == [
        f"{place}: timeout in default_config of T {ending}",
        f"{place}: pool in default_config of T must be 'session' or 'worker', not 'y'",
        f"{path}:1: delay in stage.toml {ending}",
        "max_series in --set must be 1 or more, not 0",
    ]


CONFIG_FILE = """\
timeout = "5s"
insecure = "yes"
typo = 1

[http]
pool = "both"

[services.shop]
timeout = 0

[services.shop.headers]
X-Good = "1"
"X Bad" = "2"

[services.shop.tls]
insecure = 5
ca_fil = "x"

[services.push]
delay = 1

[services]
shp.timeout = 1

[populations.buyers]
sessions = 0
session = 5
config.delay = "x"

[populations]
nobody.sessions = 1
"""


def test_every_mistake_in_a_config_file_has_the_line_of_its_key(bench: Workbench) -> None:
    path = bench.write(CONFIG_FILE, "stage.toml")
    lines = bench.error(bench.load_test, TWO, config_file=str(path)).message.splitlines()
    rows = CONFIG_FILE.splitlines()
    found = {}
    for line in lines:
        place, sentence = line.removeprefix(f"{path}:").split(": ", 1)
        found[rows[int(place) - 1]] = sentence.partition(" in stage.toml")[0]
    assert found == {
        'insecure = "yes"': "insecure of stage.toml must be true or false, not 'yes'",
        "typo = 1": "unknown setting 'typo'",
        'pool = "both"': "pool of http",
        "timeout = 0": "timeout of services.shop",
        '"X Bad" = "2"': "headers of services.shop",
        "insecure = 5": "insecure of tls of services.shop",
        "delay = 1": "delay of services.push",
        "shp.timeout = 1": "unknown service 'shp'",
        "sessions = 0": "sessions of populations.buyers",
        "session = 5": "unknown setting 'session' of populations.buyers",
        'config.delay = "x"': "delay in populations.buyers.config",
        "nobody.sessions = 1": "unknown population 'nobody'",
    }


def test_a_mistake_in_a_json_file_has_its_line(bench: Workbench) -> None:
    path = bench.write('{"services": {"shop": {\n  "base_url": "x",\n  "pool": 1}}}', "stage.json")
    error = bench.error(bench.load_test, ONE, config_file=str(path))
    assert [line.partition(": ")[0] for line in error.message.splitlines()] == [
        f"{path}:2",
        f"{path}:3",
    ]


@pytest.mark.parametrize(
    ("config", "launch", "line", "message"),
    [
        ("\n[services.shop.tls]\nca_file = 'no.pem'", {}, 3, "ca_file of service 'shop' does not"),
        ("\n[http]\ntls.key_file = 'no.pem'", {}, 3, "service 'shop' has a key_file but no cert"),
        ("warmup = 0\n\n[populations.Buy]\nduration = 5\nramp_up = 6", {}, 5, "ramp_up of popul"),
        ("[populations.Buy]\niterations = 1\nshared_iterations = 2", {}, 3, "population 'Buy' has"),
        ("\nwarmup = '1m'", {"duration_s": 5.0}, 2, "warmup takes 60 s of a run of 5 s"),
        ("bearer = 'a'\nbasic_auth = 'a:b'", {}, 1, "stage.toml has both basic_auth and bearer"),
    ],
)
def test_a_mistake_that_shows_after_the_merge_has_the_line_of_the_last_word_on_it(
    bench: Workbench, config: str, launch: dict[str, Any], line: int, message: str
) -> None:
    path = bench.write(config, "stage.toml")
    body = "services = {'shop': Service('http://h:1', tls=Tls(server_name='x'))}\nscenarios = [Buy]"
    error = bench.error(bench.load_test, body, config_file=str(path), **launch)
    found = [found for found in str(error).splitlines() if message in found]
    assert len(found) == 1
    assert found[0].startswith(f"{path}:{line}: {message}")


@pytest.mark.parametrize(
    ("body", "launch", "urls"),
    [
        (ONE, {"overrides": ["base_url=http://x"]}, {"shop": "http://x"}),
        (ONE, {"overrides": ["services.shop=http://x"]}, {"shop": "http://x"}),
        (TWO, {"overrides": ["services.push.base_url=http://x"]},
         {"shop": "http://h:1", "push": "http://x"}),
        ("scenarios = [Buy]\ndefault_config = {'base_url': 'http://x'}", {},
         {"default": "http://x"}),
        ("scenarios = [Buy]", {"overrides": ["base_url=http://x"]}, {"default": "http://x"}),
        ("scenarios = [Buy]", {"overrides": ["services.api.base_url=http://x"]},
         {"api": "http://x"}),
        ("scenarios = [Buy]", {}, {"default": ""}),
        (ONE + "default_config = {'base_url': 'http://x'}", {}, {"shop": "http://h:1"}),
        ("services = {'shop': Service('')}\nscenarios = [Buy]\n"
         "default_config = {'base_url': 'http://x'}", {}, {"shop": "http://x"}),
    ],
)  # fmt: skip
def test_base_urls_come_from_where_they_are_said(
    bench: Workbench, body: str, launch: dict[str, Any], urls: dict[str, str]
) -> None:
    test = bench.load_test(body, **launch)
    assert {service.name: service.base_url for service in test.plan.services} == urls
