"""Watches one session of a trial: its exchanges, checks, exceptions and log become events.

Stands where a run has its client, recorder and log, so that a run pays nothing for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from chaperon_engine.clock import now_ns
from chaperon_engine.definition.secrets import MASK, is_secret_name
from chaperon_engine.errors import ActionError, InvalidRequest
from chaperon_engine.http.client import HttpClient
from chaperon_engine.http.options import RequestOptions
from chaperon_engine.http.ports import HttpSink
from chaperon_engine.http.response import Response
from chaperon_engine.http.service import ServiceState
from chaperon_engine.http.worker import HttpWorker
from chaperon_engine.metrics.counters import WorkerCounters
from chaperon_engine.metrics.model import ExceptionGroup
from chaperon_engine.metrics.recorder import Recorder
from chaperon_engine.net.headers import Headers
from chaperon_engine.net.ports import Labels, RecorderPort
from chaperon_engine.session.child import CURRENT_CHILD
from chaperon_engine.session.log import LogBook
from chaperon_engine.text import visible, visible_block
from chaperon_engine.worker.forgotten import NEVER_AWAITED
from chaperon_engine.worker.trial_events import (
    MAX_BODY_CHARS,
    TrialCheck,
    TrialException,
    TrialFailure,
    TrialLog,
    TrialMessage,
    TrialRequest,
    TrialResponse,
    TrialSocket,
)
from chaperon_engine.worker.trial_sockets import ObservedWs

if TYPE_CHECKING:
    from chaperon_engine.definition.resolved import ResolvedService
    from chaperon_engine.http.request import Prepared

_MAX_LINES = 200
_WITHOUT_ANY = RequestOptions()


class Observer:
    """Numbers the exchanges, dates the events, hands them on."""

    def __init__(self, emit: Callable[[TrialMessage], None]) -> None:
        self._emit = emit
        self._start_ns = now_ns()
        self._exchanges = 0
        self.session = ""
        """Id of the session that is running; its children are known by themselves."""
        self.checks_passed = 0
        self.checks_failed = 0
        self.forgotten = 0
        """Calls that nobody awaited."""
        self.sockets = 0
        self.sockets_failed: set[int] = set()
        """Numbers of the exchanges that opened them."""
        self.messages_sent = 0
        self.messages_received = 0

    def at_s(self) -> float:
        """Seconds since the beginning."""
        return (now_ns() - self._start_ns) / 1e9

    def request(
        self, service: str, method: str, url: str, head: bytes = b"", content: bytes = b""
    ) -> int:
        """A request is about to be sent; its number."""
        self._exchanges += 1
        self._emit(
            TrialRequest(
                at_s=self.at_s(),
                number=self._exchanges,
                session=CURRENT_CHILD.get() or self.session,
                service=service,
                method=visible(method),
                url=visible(url, 2000),
                headers=_fields(head),
                body=_beginning(content),
                body_bytes=len(content),
            )
        )
        return self._exchanges

    def response(self, number: int, response: Response) -> None:
        """Its reply is there."""
        is_open = response.stream is not None
        body = b"" if is_open else _body_of(response)
        self._emit(
            TrialResponse(
                at_s=self.at_s(),
                number=number,
                session=CURRENT_CHILD.get() or self.session,
                status=response.status,
                reason=visible(response.reason),
                expected=response.expected,
                headers=[
                    (visible(name), visible(value)) for name, value in response.headers.items()
                ],
                body=_beginning(body),
                body_bytes=len(body),
                redirects=[f"{hop.status} {visible(hop.url)}" for hop in response.history],
                timings_us={
                    name.removesuffix("_us"): value
                    for name, value in response.timings._asdict().items()
                },
            )
        )

    def opened(self, number: int, headers: Headers, timings_us: dict[str, float]) -> None:
        """A WebSocket is open."""
        self._emit(
            TrialResponse(
                at_s=self.at_s(),
                number=number,
                session=CURRENT_CHILD.get() or self.session,
                status=101,
                reason="Switching Protocols",
                expected=True,
                headers=[(visible(name), visible(value)) for name, value in headers.items()],
                timings_us=timings_us,
            )
        )

    def socket(
        self, number: int, what: str, kind: str, content: bytes, close_code: int = 0
    ) -> None:
        """A message went out or came in, or the socket ended."""
        self.messages_sent += what == "sent"
        self.messages_received += what == "received"
        self._emit(
            TrialSocket(
                at_s=self.at_s(),
                number=number,
                session=CURRENT_CHILD.get() or self.session,
                what=what,
                kind=kind,
                body=_beginning(content),
                body_bytes=len(content),
                close_code=close_code,
            )
        )

    def failure(self, number: int, code: str, origin: str, message: object) -> None:
        """There is none."""
        self._emit(
            TrialFailure(
                at_s=self.at_s(),
                number=number,
                session=CURRENT_CHILD.get() or self.session,
                code=code,
                origin=origin,
                message=visible(message),
            )
        )

    def check(self, name: str, passed: bool, reason: str) -> None:
        """A check has its result."""
        if passed:
            self.checks_passed += 1
        else:
            self.checks_failed += 1
        self._emit(
            TrialCheck(
                at_s=self.at_s(),
                session=CURRENT_CHILD.get() or self.session,
                name=visible(name),
                passed=passed,
                reason=visible(reason),
            )
        )

    def exception(self, group: ExceptionGroup) -> None:
        """User code raised, or forgot to await."""
        self.forgotten += group.type == NEVER_AWAITED
        self._emit(
            TrialException(
                at_s=self.at_s(),
                session=CURRENT_CHILD.get() or self.session,
                where=group.where,
                type=visible(group.type),
                message=visible(group.message),
                file=group.file,
                line=group.line,
                traceback=visible_block(group.traceback),
            )
        )

    def log(self, level: str, source: str, text: object) -> None:
        """User code said something."""
        self._emit(
            TrialLog(
                at_s=self.at_s(),
                level=level,
                source=visible(source),
                text=visible(text, MAX_BODY_CHARS),
            )
        )


class ObservedClient(HttpClient):
    """Shows each request as it is sent, redirects one by one."""

    __slots__ = ("_observer",)

    _observer: Observer

    async def request(
        self,
        service: ServiceState,
        method: str,
        path: str,
        series: HttpSink,
        options: RequestOptions | None = None,
    ) -> Response:
        try:
            # With options every request passes `_send`.
            return await super().request(service, method, path, series, options or _WITHOUT_ANY)
        except InvalidRequest as error:
            number = self._observer.request(service.name, str(method), str(path))
            self._observer.failure(number, "invalid", "scenario", error)
            raise

    async def _send(
        self, service: ServiceState, prepared: Prepared, series: HttpSink, called_ns: int
    ) -> Response:
        observer = self._observer
        wire = self._with_cookies(service, prepared)
        head, _, content = wire.partition(b"\r\n\r\n")
        number = observer.request(
            service.name, prepared.method, service.target.origin + prepared.path, head, content
        )
        try:
            response = await super()._send(service, prepared, series, called_ns)
        except ActionError as error:
            observer.failure(number, error.code, error.origin, error)
            raise
        except asyncio.CancelledError:
            observer.failure(number, "cancelled", "scenario", "the call was cancelled")
            raise
        observer.response(number, response)
        return response

    def _twin(self) -> HttpClient:
        twin = ObservedClient(self._worker, self._services, self._labels)
        twin._observer = self._observer
        return twin


class ObservedHttp(HttpWorker):
    """Makes observed clients."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, recorder: RecorderPort, observer: Observer
    ) -> None:
        super().__init__(loop, recorder)
        self._observer = observer
        self.network.beside["ws"] = ObservedWs(self.network, observer)

    def client(
        self,
        services: Mapping[str, ResolvedService],
        labels: Labels = Labels(),  # noqa: B008
    ) -> HttpClient:
        client = ObservedClient(self, services, labels)
        client._observer = self._observer
        return client


class ObservedRecorder(Recorder):
    """Records as always, and shows checks and exceptions."""

    def __init__(self, counters: WorkerCounters, observer: Observer) -> None:
        super().__init__(counters)
        self._observer = observer

    def check(self, scenario: str, session: str, name: str, passed: bool, reason: str = "") -> None:
        super().check(scenario, session, name, passed, reason)
        self._observer.check(name, passed, reason)

    def exception(self, group: ExceptionGroup) -> None:
        super().exception(group)
        self._observer.exception(group)


class ObservedLog(LogBook):
    """Shows every line at once, debug lines too."""

    def __init__(self, observer: Observer) -> None:
        super().__init__(level=logging.DEBUG)
        self._observer = observer

    def add(self, level: str, source: str, text: object) -> None:
        self._observer.log(level, source, text)


def _fields(head: bytes) -> list[tuple[str, str]]:
    """Header fields of a request as it goes out, with secrets masked."""
    fields = []
    for line in head.decode("utf-8", "replace").split("\r\n")[1:]:
        name, colon, value = line.partition(": ")
        if colon:
            hidden = is_secret_name(name) and name.lower() != "cookie"
            fields.append((visible(name), MASK if hidden else visible(value)))
    return fields


def _body_of(response: Response) -> bytes:
    try:
        return response.body
    except InvalidRequest:
        return b""


def _beginning(body: Any) -> str:
    text = bytes(body[: 4 * MAX_BODY_CHARS]).decode("utf-8", "replace")
    cut = len(text) > MAX_BODY_CHARS
    return visible_block(text[:MAX_BODY_CHARS], _MAX_LINES, MAX_BODY_CHARS) + ("…" if cut else "")
