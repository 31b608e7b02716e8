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

SeriesMaker = Callable[[SeriesKey], HttpSeries]
Tags = tuple[tuple[str, str], ...]


class SeriesTable(dict[str, HttpSeries]):
    """Series of the bare calls of one method, by path as the scenario wrote it."""

    __slots__ = ("_make", "_method")

    def __init__(self, make: Callable[[str, str], HttpSeries], method: str) -> None:
        super().__init__()
        self._make = make
        self._method = method

    def __missing__(self, path: str) -> HttpSeries:
        series = self._make(self._method, path)
        if len(self) < MAX_REMEMBERED:
            self[path] = series
        return series


class ServiceLabels:
    """Series of one service as the sessions of one population see it."""

    __slots__ = (*METHODS, "_base", "_custom", "_make", "_skip_query")

    GET: SeriesTable
    POST: SeriesTable
    PUT: SeriesTable
    PATCH: SeriesTable
    DELETE: SeriesTable
    HEAD: SeriesTable
    OPTIONS: SeriesTable

    def __init__(self, make: SeriesMaker, base: SeriesKey, *, skip_query: bool) -> None:
        """`base` has what all keys share: scenario, session name and service."""
        self._make = make
        self._base = base
        self._skip_query = skip_query
        self._custom: dict[tuple[str, str, str, Tags], HttpSeries] = {}
        for method in METHODS:
            setattr(self, method, SeriesTable(self._bare, method))

    def series(
        self, action: str, method: str, url: str, name: str = "", tags: Mapping[str, object] = {}
    ) -> HttpSeries:
        """The series of a call. A name takes the place of the URL; tags make series of their own."""
        texts: Tags = tuple(sorted((str(key), str(value)) for key, value in tags.items()))
        url = "" if name else self._shown(url)
        place = (action, method, name or url, texts)
        series = self._custom.get(place)
        if series is None:
            series = self._make(self._key(action, method, url, name, texts))
            if len(self._custom) < MAX_REMEMBERED:
                self._custom[place] = series
        return series

    def forget(self) -> None:
        """Look every series up again from now on."""
        self._custom.clear()
        for method in METHODS:
            getattr(self, method).clear()

    def _bare(self, method: str, path: str) -> HttpSeries:
        return self._make(self._key(method.lower(), method, self._shown(path), "", ()))

    def _shown(self, url: str) -> str:
        return url.partition("?")[0] if self._skip_query else url

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


def unmeasured() -> ServiceLabels:
    """Labels that lead to the series that records nothing: for `teardown`."""
    return ServiceLabels(lambda key: NULL_HTTP, SeriesKey(kind=HTTP), skip_query=True)
