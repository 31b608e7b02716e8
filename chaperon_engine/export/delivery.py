"""Batches of points to a server of InfluxDB: time limits, retries, and what each refusal means.

Owns: HTTP and the sentences. aiohttp is a dependency already and takes a time limit over a whole
exchange, which the standard library does not; the official client (`influxdb-client`, with
reactivex and urllib3) would add its own batching thread around the one request that is needed here.

Must not know what is in a batch but its lines.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import random
import threading
import time
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from chaperon_engine.clock import SystemClock
from chaperon_engine.export.files import ExportError
from chaperon_engine.text import visible

if TYPE_CHECKING:
    import aiohttp

FIRST_DELAY_S = 0.5
"""Before the second attempt; doubled before each further one."""
MAX_DELAY_S = 10.0
MAX_REPLY_BYTES = 64 * 1024
MAX_WORDS = 300
_RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True)
class Limits:
    """How long and how often."""

    timeout_s: float = 10.0
    """Of one request."""
    retries: int = 4
    """Further attempts of one request."""
    total_s: float = 60.0
    """Of everything."""


@dataclass(frozen=True)
class Api:
    """A write API: where points go, with which headers, and what a refusal means there."""

    address: str
    """Of the server, for sentences."""
    place: str
    """Of the database or bucket, for people."""
    url: str
    """What points are posted to, query included."""
    refusals: Mapping[int, str]
    """What a status means and what to do, as the rest of a sentence."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: Sequence[str] = field(default=(), repr=False)
    """What no sentence may show."""


@dataclass(frozen=True)
class _Reply:
    status: int
    """0 when there was none."""
    words: str
    """What the server said, or what prevented it."""
    wait_s: float | None = None
    """Retry-After."""
    final: bool = False
    """Trying again is of no use."""

    @property
    def told(self) -> str:
        """For a sentence: `503: overloaded`."""
        if not self.status:
            return self.words
        return f"{self.status}: {self.words}" if self.words else str(self.status)


def deliver(batches: Iterable[Sequence[str]], api: Api, limits: Limits) -> int:
    """Posts all lines and answers how many; raises `ExportError`.

    Works in a thread with a running event loop too, which it blocks.
    """
    return _in_own_loop(_Delivery(api, limits).run(batches))


class _Delivery:
    def __init__(self, api: Api, limits: Limits):
        self._api = api
        self._limits = limits
        self._ends = time.monotonic() + limits.total_s
        self._sent = 0

    async def run(self, batches: Iterable[Sequence[str]]) -> int:
        import aiohttp

        # No cookies and no redirects: credentials go to the address that was named, once.
        async with aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
        ) as session:
            for batch in batches:
                await self._send(session, batch)
        return self._sent

    async def _send(self, session: aiohttp.ClientSession, batch: Sequence[str]) -> None:
        reply = await self._tried(session, "".join(f"{line}\n" for line in batch).encode())
        if reply.status == 413 and len(batch) > 1:
            middle = len(batch) // 2
            await self._send(session, batch[:middle])
            await self._send(session, batch[middle:])
        elif 200 <= reply.status < 300:
            self._sent += len(batch)
        else:
            raise self._error(reply)

    async def _tried(self, session: aiohttp.ClientSession, body: bytes) -> _Reply:
        packed = gzip.compress(body, 6, mtime=0)
        for attempt in range(1, self._limits.retries + 2):
            reply = await self._post(session, packed)
            if reply.final or (reply.status and reply.status not in _RETRIED):
                return reply
            delay_s = reply.wait_s
            if delay_s is None:
                # Spread, so that generators that were refused together do not come back together.
                delay_s = min(MAX_DELAY_S, FIRST_DELAY_S * 2 ** (attempt - 1))
                delay_s *= random.uniform(0.75, 1.25)
            if attempt > self._limits.retries:
                raise self._given_up(reply, f"after {_times(attempt)}")
            if time.monotonic() + delay_s >= self._ends:
                if reply.wait_s is not None:
                    raise self._given_up(reply, f"and asks to wait {delay_s:.0f} s")
                raise self._given_up(reply, f"within {self._limits.total_s:g} s")
            await asyncio.sleep(delay_s)
        raise AssertionError("the last attempt answers or raises")

    async def _post(self, session: aiohttp.ClientSession, body: bytes) -> _Reply:
        import aiohttp
        import yarl

        limit_s = min(self._limits.timeout_s, self._ends - time.monotonic())
        if limit_s <= 0:
            raise self._sentence(f"did not take everything within {self._limits.total_s:g} s")
        try:
            async with session.post(
                yarl.URL(self._api.url, encoded=True),
                data=body,
                headers={
                    **self._api.headers,
                    "Content-Encoding": "gzip",
                    "Content-Type": "text/plain; charset=utf-8",
                    "Accept-Encoding": "identity",
                },
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=limit_s),
            ) as response:
                words = await self._words(response)
                wait_s = _wait_s(response.headers.get("Retry-After", ""))
                # 1.x answers 500 to this, as if waiting could help.
                is_final = words.startswith("retention policy not found")
                return _Reply(response.status, words, wait_s, final=is_final)
        except TimeoutError:
            return _Reply(0, f"did not answer within {limit_s:.3g} s")
        except aiohttp.ClientConnectorCertificateError as error:
            reason = getattr(error.certificate_error, "verify_message", error.certificate_error)
            return _Reply(
                0,
                f"has a certificate that cannot be verified ({visible(reason)}); $SSL_CERT_FILE "
                "names a file with further authorities",
                final=True,
            )
        except aiohttp.ClientConnectorError as error:
            number = error.os_error.errno
            # asyncio's own words name the address once more, and no reason.
            told = os.strerror(number) if number and number > 0 else str(error.os_error)
            return _Reply(0, f"cannot be reached ({visible(told)})")
        except (aiohttp.ClientError, OSError) as error:
            told = visible(error) or type(error).__name__
            return _Reply(0, f"broke the exchange off ({told})")

    async def _words(self, response: aiohttp.ClientResponse) -> str:
        """What the server says of an error, without anything secret that it repeats."""
        if response.status < 300:
            return ""
        if response.status < 400:
            where = response.headers.get("Location", "")
            # Where it leads may carry a session in its query.
            return f"it sends on to {self._clean(where.partition('?')[0])}"
        body = await _limited(response)
        try:
            data = json.loads(body)
        except (ValueError, RecursionError):
            data = None
        if isinstance(data, dict):
            for key in ("message", "error"):
                if isinstance(data.get(key), str):
                    return self._clean(data[key])
        text = body.decode(errors="replace").strip()
        # A page of a proxy says nothing that its status does not.
        return "" if text.startswith("<") else self._clean(text)

    def _clean(self, text: str) -> str:
        for secret in self._api.secrets:
            text = text.replace(secret, "***")
        return visible(text, MAX_WORDS)

    def _given_up(self, reply: _Reply, when: str) -> ExportError:
        if reply.status:
            told = f"still answers {reply.told} {when}"
            return self._sentence(f"{told}; try again when it has recovered")
        return self._sentence(f"{reply.words} {when}; check that it runs there and is reachable")

    def _error(self, reply: _Reply) -> ExportError:
        if not reply.status:
            return self._sentence(reply.words)
        if reply.status < 400:
            meaning = "redirects, and credentials do not follow: give the final address"
        elif "partial write" in reply.words:
            meaning = "took only a part of the points: a field has another type there, or points "
            meaning += "are older than it keeps"
        else:
            status = 404 if reply.final else reply.status
            meaning = self._api.refusals.get(status, "refuses the points")
        return self._sentence(f"{meaning} ({reply.told})")

    def _sentence(self, told: str) -> ExportError:
        before = f"; {self._sent:,} points are there already" if self._sent else ""
        return ExportError(f"InfluxDB at {self._api.address} {told}{before}")


async def _limited(response: aiohttp.ClientResponse) -> bytes:
    """The beginning of the body."""
    body = b""
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) >= MAX_REPLY_BYTES:
            break
    return body[:MAX_REPLY_BYTES]


def _wait_s(header: str) -> float | None:
    """Seconds of a Retry-After, which has a number or a date."""
    if header.isascii() and header.isdigit() and len(header) < 10:
        return float(header)
    try:
        at = parsedate_to_datetime(header)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    now: datetime = SystemClock().label()
    return max(0.0, (at - now).total_seconds())


def _times(attempts: int) -> str:
    return "the only attempt" if attempts == 1 else f"{attempts} attempts"


def _in_own_loop(work: Coroutine[Any, Any, int]) -> int:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    results: list[int] = []
    errors: list[BaseException] = []

    def in_thread() -> None:
        try:
            results.append(asyncio.run(work))
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=in_thread, name="chaperon export", daemon=True)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]
