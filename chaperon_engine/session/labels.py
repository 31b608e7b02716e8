"""Which series a request of a session is recorded in, found once per population and worker.

The tables are shared by all sessions of a population. They are emptied, never replaced, when
series must be looked up again, so that nobody has to be told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from chaperon_engine.metrics.model import HTTP, SeriesKey
from chaperon_engine.metrics.recorder import NULL_HTTP, HttpSeries

METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
MAX_REMEMBERED: Final = 4_096
"""Paths of one method that are remembered; further ones are looked up in the recorder each time.
It folds what is beyond the run's cap on series."""

SeriesTable = dict[str, HttpSeries]
"""Series of the bare calls of one method, by path as the scenario wrote it."""
Tags = tuple[tuple[str, str], ...]


class ServiceLabels:
    """Series of one service as the sessions of one population see it."""

    __slots__ = (*METHODS, "_base", "_custom", "_limit", "_make", "_skip_query")

    GET: SeriesTable
    POST: SeriesTable
    PUT: SeriesTable
    PATCH: SeriesTable
    DELETE: SeriesTable
    HEAD: SeriesTable
    OPTIONS: SeriesTable

    def __init__(
        self,
        make: Callable[[SeriesKey], HttpSeries],
        base: SeriesKey,
        *,
        skip_query: bool,
        limit: int = MAX_REMEMBERED,
    ) -> None:
        """`base` has what all keys share: scenario, session name and service."""
        self._make = make
        self._base = base
        self._skip_query = skip_query
        self._limit = limit
        self._custom: dict[tuple[str, str, str, str, Tags], HttpSeries] = {}
        for method in METHODS:
            setattr(self, method, {})

    def bare(self, method: str, path: str) -> HttpSeries:
        """The series of a call without options; remembered in the table of its method."""
        series = self.series(method.lower(), method, path)
        if method in METHODS:
            table: SeriesTable = getattr(self, method)
            if len(table) < self._limit:
                table[path] = series
        return series

    def series(
        self,
        action: str,
        method: str,
        url: str,
        name: str = "",
        tags: Mapping[str, object] | None = None,
    ) -> HttpSeries:
        """The series of a call. A name stands in place of the URL; tags make another."""
        texts = texts_of(tags)
        if name:
            url = ""
        elif self._skip_query:
            url = url.partition("?")[0]
        place = (action, method, url, name, texts)
        series = self._custom.get(place)
        if series is None:
            series = self._make(self._key(*place))
            if len(self._custom) < self._limit:
                self._custom[place] = series
        return series

    def forget(self) -> None:
        """Look every series up again from now on."""
        self._custom.clear()
        for method in METHODS:
            getattr(self, method).clear()

    def _key(self, action: str, method: str, url: str, name: str, tags: Tags) -> SeriesKey:
        base = self._base
        return SeriesKey(
            kind=HTTP,
            scenario=base.scenario,
            session=base.session,
            service=base.service,
            action=action,
            method=method,
            url=url,
            name=name,
            tags=tags,
        )


def texts_of(tags: Mapping[str, object] | None) -> Tags:
    """Tags as a key has them: text, in order."""
    if not tags:
        return ()
    return tuple(sorted((str(key), str(value)) for key, value in tags.items()))


def unmeasured() -> ServiceLabels:
    """Labels that lead to the series that records nothing: for `teardown`."""
    return ServiceLabels(lambda key: NULL_HTTP, SeriesKey(kind=HTTP), skip_query=True, limit=0)
