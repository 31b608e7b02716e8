"""The bundled target: a web service to try Chaperon on, and the counting server of its tests.

It runs on aiohttp and uvloop, on the loopback interface unless told otherwise, and counts exactly
what it served (`/stats`). Owns: routes, their limits, the counts. Must not know: sessions, metrics
or anything else of the engine; it is a server like any other to the code that loads it.
"""

from chaperon_engine.target.app import create_app
from chaperon_engine.target.server import RunningTarget, serve, start

__all__ = ["RunningTarget", "create_app", "serve", "start"]
