"""Checks, custom metrics, logs and exceptions of a session."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, ClassVar

import pytest

from chaperon_engine import Scenario, Session
from chaperon_engine.definition.resolved import SessionSettings
from chaperon_engine.errors import InvalidRequest, MissingConfig
from chaperon_engine.session import LogBook
from chaperon_engine.session.log import SessionLogger
from chaperon_engine.target import RunningTarget
from tests.session.harness import population, run


class Checking(Scenario):
    answers: ClassVar[list[bool]] = []

    async def run(self, session: Session) -> None:
        class NoBool:
            def __bool__(self) -> bool:
                raise ValueError("neither")

        async def late() -> bool:
            return True

        def missing() -> bool:
            raise KeyError("missing")

        conditions: list[Any] = [
            True, 0, lambda: "yes", lambda: None, missing, NoBool(), late
        ]  # fmt: skip
        type(self).answers = [
            session.check(f"c{number}", condition) for number, condition in enumerate(conditions)
        ]


async def test_a_check_answers_and_never_raises() -> None:
    ran = await run(population(Checking))
    assert Checking.answers == [True, False, True, False, False, False, False]
    assert all(type(answer) is bool for answer in Checking.answers)
    assert ran.iterations.completed == 1
    assert ran.checks["c1"].failed == 1
    assert ran.checks["c1"].reason == ""
    assert ran.checks["c4"].reason == "KeyError: 'missing'"
    assert ran.checks["c5"].reason == "ValueError: neither"
    assert "asynchronous" in ran.checks["c6"].reason
    assert {group.where for group in ran.exceptions} == {"check"}


class Measuring(Scenario):
    async def run(self, session: Session) -> None:
        session.add_metric("lag", 0.25, unit="s")
        session.add_metric("price", 12, unit="EUR")
        session.counter("items", 3)
        session.counter("items", 4)
        session.gauge("depth", 9.5)
        session.rate("hit", True)
        session.rate("hit", False)
        with pytest.raises(InvalidRequest, match="'lag' takes finite numbers"):
            session.add_metric("lag", float("nan"))
        with pytest.raises(InvalidRequest, match="'lag' takes numbers"):
            session.add_metric("lag", "soon")  # type: ignore[arg-type]

    async def teardown(self, session: Session) -> None:
        session.add_metric("lag", 9, unit="s")
        session.counter("items", 100)
        session.check("after", False)


async def test_custom_metrics_are_recorded_except_in_teardown() -> None:
    ran = await run(population(Measuring))
    lag = ran.of_kind("trend")["lag"]
    assert lag.ok == 1
    assert lag.expected is not None
    assert lag.expected.sum_us == 250_000
    units = {key.name: key.unit for key in ran.series}
    assert units["lag"] == "us"
    assert units["price"] == "EUR"
    assert ran.of_kind("counter")["items"].value_sum == 7
    assert ran.of_kind("gauge")["depth"].value_sum == 9.5
    assert ran.of_kind("rate")["hit"].ok == 2
    assert ran.of_kind("rate")["hit"].value_sum == 1
    assert not ran.checks


class Logging(Scenario):
    async def run(self, session: Session) -> None:
        session.log_debug("not shown")
        session.log_info("hello %s", "you")
        session.log_warning("odd \x1b[31m")
        session.log_error("wrong")
        session.log.info("%d", "no number")


async def test_log_lines_carry_the_session_and_no_control_characters() -> None:
    ran = await run(population(Logging, name="talkers"))
    assert [(line.level, line.source, line.text) for line in ran.log[:3]] == [
        ("info", "talkers-0", "hello you"),
        ("warning", "talkers-0", "odd \\x1b[31m"),
        ("error", "talkers-0", "wrong"),
    ]
    assert "cannot be formatted" in ran.log[3].text


def test_the_log_is_bounded_between_two_frames_and_counts_the_rest() -> None:
    book = LogBook(max_lines=3)
    log = SessionLogger(book.logger, "x-0")
    for number in range(10):
        log.info("%d", number)
    lines, dropped = book.collect()
    assert [line.text for line in lines] == ["0", "1", "2"]
    assert dropped == 7
    log.info("again")
    lines, dropped = book.collect()
    assert (len(lines), dropped) == (1, 0)


def test_the_log_leaves_the_loggers_of_users_alone() -> None:
    LogBook().logger.error("quiet")
    assert "chaperon.session" not in logging.Logger.manager.loggerDict


class Raising(Scenario):
    async def run(self, session: Session) -> None:
        if session.iteration % 2:
            raise ValueError(f"odd \x1b {session.iteration}")
        raise KeyError("missing")


async def test_exceptions_are_grouped_by_type_and_line_with_one_traceback_of_user_code() -> None:
    ran = await run(population(Raising, sessions=3, iterations=4))
    assert ran.iterations.failed == 12
    assert ran.sessions.finished == 3
    groups = {group.type: group for group in ran.exceptions}
    assert {name: group.count for name, group in groups.items()} == {"ValueError": 6, "KeyError": 6}
    error = groups["ValueError"]
    assert error.file == __file__
    assert error.where == "run"
    assert error.session == "Raising"
    assert error.message == "odd \\x1b 1"
    assert "chaperon_engine" not in error.traceback
    assert "raise ValueError" in error.traceback


class Grouped(Scenario):
    async def run(self, session: Session) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(session.get("/", timeout=5))
            group.create_task(self.fail())

    async def fail(self) -> None:
        raise LookupError("inside")


async def test_an_error_in_a_task_group_is_reported_as_itself(target: RunningTarget) -> None:
    ran = await run(population(Grouped, url=target.url))
    assert [group.type for group in ran.exceptions] == ["LookupError"]


class Refused(Scenario):
    async def run(self, session: Session) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(session.get("/a"))
            group.create_task(session.get("/b"))


async def test_an_action_error_is_counted_in_its_series_and_as_no_exception() -> None:
    ran = await run(population(Refused))
    assert ran.iterations.failed == 1
    assert not ran.exceptions
    assert ran.requests("GET /a").errors == {"refused": 1}


class Misreading(Scenario):
    async def run(self, session: Session) -> None:
        (await session.get("/")).json()


async def test_a_reply_that_is_not_what_the_scenario_reads_is_an_exception_of_its(
    target: RunningTarget,
) -> None:
    ran = await run(population(Misreading, url=target.url))
    assert [group.type for group in ran.exceptions] == ["DecodeError"]
    assert ran.requests("GET /").failed == 0


class Inspecting(Scenario):
    seen: ClassVar[dict[str, Any]] = {}

    async def run(self, session: Session) -> None:
        await session.get("/json")
        await session.get("/", name="home")
        type(self).seen = {
            "results": {name: [each.status for each in r] for name, r in session.results.items()},
            "errors": {name: [type(each) for each in e] for name, e in session.errors.items()},
        }
        if session.iteration == 0:
            raise ValueError("once")


async def test_results_are_kept_only_when_asked_for(target: RunningTarget) -> None:
    await run(population(Inspecting, url=target.url, iterations=2))
    assert Inspecting.seen == {"results": {}, "errors": {"run": [ValueError]}}
    settings = SessionSettings(store_results=True)
    await run(population(Inspecting, url=target.url, iterations=2, settings=settings))
    assert Inspecting.seen["results"] == {"GET /json": [200, 200], "GET home": [200, 200]}


class Misnamed(Scenario):
    async def run(self, session: Session) -> None:
        with pytest.raises(MissingConfig, match="service 'pusch' is not configured; there is api"):
            session.service("pusch")
        with pytest.raises(InvalidRequest, match=r"no option 'jsn'; did you mean 'json'\?"):
            await session.get("/", jsn={})  # type: ignore[call-arg]
        with pytest.raises(InvalidRequest, match="timeout"):
            await session.get("/", timeout="soon")


async def test_mistakes_are_named_and_nothing_is_sent() -> None:
    ran = await run(population(Misnamed))
    assert ran.iterations.completed == 1
    assert not ran.series
