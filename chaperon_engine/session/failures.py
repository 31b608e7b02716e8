"""Exceptions of user code, grouped by type, file and line, with one traceback of user frames.

Must not know who raised them or what becomes of the session.
"""

from __future__ import annotations

import sysconfig
import traceback
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol

from chaperon_engine.errors import (
    ActionError,
    DecodeError,
    RedirectError,
    SessionAborted,
    SessionRefused,
)
from chaperon_engine.metrics.model import ExceptionGroup
from chaperon_engine.text import visible, visible_block

_ENGINE = str(Path(__file__).resolve().parent.parent)
_BUNDLED = f"{_ENGINE}/bundled"
_LIBRARIES = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
_FOREIGN = (*(f"{folder}/" for folder in _LIBRARIES), f"{_ENGINE}/", "<frozen")
_MAX_KNOWN: Final = 1_000
_MAX_DEPTH: Final = 100

_Place = tuple[type[BaseException], str, int, str]


class ExceptionSink(Protocol):
    """What takes groups: the recorder."""

    def exception(self, group: ExceptionGroup) -> None: ...


class FailureLog:
    """Exceptions of one population. Formats the traceback of each group once."""

    def __init__(self, sink: ExceptionSink, session_name: str) -> None:
        self._sink = sink
        self._session_name = session_name
        self._known: dict[_Place, ExceptionGroup] = {}

    def add(self, error: BaseException, where: str) -> ExceptionGroup:
        """Count an exception. `where` as in ExceptionGroup. The group has a count of 1."""
        file, line = _place(error)
        place = (type(error), file, line, where)
        group = self._known.get(place)
        if group is None:
            group = ExceptionGroup(
                type=type(error).__qualname__,
                file=file,
                line=line,
                count=1,
                message=visible(error),
                traceback=user_traceback(error),
                where=where,
                session=self._session_name,
            )
            if len(self._known) < _MAX_KNOWN:
                self._known[place] = group
        self._sink.exception(group)
        return group


def is_counted_already(error: BaseException) -> bool:
    """Whether an action has counted this error under its class and series.

    True too for a group (of a TaskGroup) that has only such errors. What is found out after a
    reply was complete has not been counted: it may not be JSON, or redirect to nowhere.
    """
    if isinstance(error, BaseExceptionGroup):
        return all(map(is_counted_already, error.exceptions))
    if isinstance(error, (DecodeError, RedirectError)):
        return False
    return isinstance(error, ActionError) and error.origin != "scenario"


def control_flow_of(error: BaseException) -> SessionRefused | SessionAborted | None:
    """The refusal or abort that an error is or, as a group of a TaskGroup, contains."""
    if isinstance(error, (SessionRefused, SessionAborted)):
        return error
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            found = control_flow_of(inner)
            if found is not None:
                return found
    return None


def cause_of(error: BaseException) -> BaseException:
    """The error that speaks for a group: its first one that no action has counted."""
    while isinstance(error, BaseExceptionGroup):
        error = next(
            (inner for inner in error.exceptions if not is_counted_already(inner)),
            error.exceptions[0],
        )
    return error


def reason_of(error: BaseException) -> str:
    """One line for a person: the type and what it says."""
    text = str(error)
    name = type(error).__qualname__
    return visible(f"{name}: {text}" if text else name)


def user_traceback(error: BaseException) -> str:
    """The traceback with frames of user code alone; with all frames if there is none of them."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if is_user_file(frame.filename)]
    lines = traceback.format_list(own or frames)
    lines += traceback.format_exception_only(type(error), error)
    return visible_block("".join(lines).rstrip())


def waits_at(work: Any) -> str:
    """`file:line` of the innermost user code in which a suspended coroutine waits, or empty."""
    place = ""
    for _ in range(_MAX_DEPTH):
        frame = getattr(work, "cr_frame", None) or getattr(work, "gi_frame", None)
        if frame is None:
            break
        work = getattr(work, "cr_await", None) or getattr(work, "gi_yieldfrom", None)
        if is_user_file(frame.f_code.co_filename):
            place = f"{frame.f_code.co_filename}:{frame.f_lineno}"
        elif work is None:
            # Ours that drives a coroutine by hand delegates to nothing.
            work = frame.f_locals.get("work")
    return place


def is_user_file(filename: str) -> bool:
    """Whether a source file is neither ours (bundled scenarios apart) nor a library's."""
    return filename.startswith(_BUNDLED) or not filename.startswith(_FOREIGN)


def _place(error: BaseException) -> tuple[str, int]:
    """File and line of the innermost frame of user code, else of the innermost of all."""
    trace: TracebackType | None = error.__traceback__
    found = last = ("", 0)
    while trace is not None:
        last = (trace.tb_frame.f_code.co_filename, trace.tb_lineno)
        if is_user_file(last[0]):
            found = last
        trace = trace.tb_next
    return found if found[0] else last
