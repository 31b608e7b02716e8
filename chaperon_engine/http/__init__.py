"""The HTTP/1.1 client on the hot path. Must not know scenarios or sessions.

`HttpWorker` is one per worker process, `HttpClient` one per session; `HttpClient.request` sends.
"""

from chaperon_engine.http.client import HttpClient
from chaperon_engine.http.options import Body, FilePart, Part, RequestOptions
from chaperon_engine.http.ports import HttpSink, SeriesFor
from chaperon_engine.http.response import Response, Timings
from chaperon_engine.http.rules import Expect
from chaperon_engine.http.service import ServiceState
from chaperon_engine.http.worker import HttpWorker
from chaperon_engine.net.cookies import CookieJar
from chaperon_engine.net.headers import Headers
from chaperon_engine.net.ports import Labels, RecorderPort, TimedSink
from chaperon_engine.net.url import Fields

__all__ = [
    "Body",
    "CookieJar",
    "Expect",
    "Fields",
    "FilePart",
    "Headers",
    "HttpClient",
    "HttpSink",
    "HttpWorker",
    "Labels",
    "Part",
    "RecorderPort",
    "RequestOptions",
    "Response",
    "SeriesFor",
    "ServiceState",
    "TimedSink",
    "Timings",
]
