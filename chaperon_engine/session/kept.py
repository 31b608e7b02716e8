"""Results and errors that a session keeps for later inspection, a bounded number of each."""

from __future__ import annotations

from collections import deque
from typing import Any, Final

from chaperon_engine.http.options import RequestOptions
from chaperon_engine.http.response import Response
from chaperon_engine.metrics.recorder import HttpSeries
from chaperon_engine.session.verbs import Client, Exchange

MAX_KEPT: Final = 20
"""Of one action, the last ones; and actions."""


class Kept:
    """What one session keeps, by action."""

    __slots__ = ("errors", "labels", "results")

    def __init__(self) -> None:
        self.results: dict[str, deque[Any]] = {}
        self.errors: dict[str, deque[BaseException]] = {}
        self.labels: dict[tuple[str, str], str] = {}
        """How the WebSocket of a service and name is called in `results`."""

    def add_result(self, action: str, result: Any) -> None:
        _add(self.results, action, result)

    def add_error(self, action: str, error: BaseException) -> None:
        # Without its traceback, which would keep every frame on its way alive.
        _add(self.errors, action, error.with_traceback(None))

    def merge(self, other: Kept) -> None:
        """Keep what another has kept, too."""
        for mine, others in ((self.results, other.results), (self.errors, other.errors)):
            for action, values in others.items():
                for value in values:
                    _add(mine, action, value)


class KeepingClient:
    """Stands before a session's client when `store_results` is set."""

    def __init__(self, client: Client, kept: Kept) -> None:
        self._client = client
        self.kept = kept

    def request(
        self,
        service: Any,
        method: str,
        path: str,
        series: HttpSeries,
        options: RequestOptions | None,
    ) -> Exchange:
        exchange = self._client.request(service, method, path, series, options)
        return self._keep(f"{method} {series.key.name or path}", exchange)

    async def _keep(self, action: str, exchange: Exchange) -> Response:
        try:
            response = await exchange
        except Exception as error:
            _add(self.kept.errors, action, error)
            raise
        self.kept.add_result(action, response)
        return response


def _add(kept: Any, action: str, value: Any) -> None:
    values = kept.get(action)
    if values is None:
        if len(kept) >= MAX_KEPT:
            return
        values = kept[action] = deque(maxlen=MAX_KEPT)
    values.append(value)
