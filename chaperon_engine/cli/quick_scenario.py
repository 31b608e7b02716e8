"""The scenario behind `chaperon quick`: one request, again and again."""

from __future__ import annotations

import base64
from functools import partial
from typing import ClassVar

from chaperon_engine import LoadTest, Population, Scenario, Service, Session

_VERBS = frozenset(("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"))


class OneRequest(Scenario):
    """The same request over and over."""

    async def init(self, session: Session) -> None:
        path = session.config("quick.path")
        method = session.config("quick.method")
        body = session.config("quick.secret_body", None)
        if body is not None:
            self.send = partial(session.request, method, path, body=base64.b64decode(body))
        elif method in _VERBS:
            # A bare verb is the fast path of a session.
            self.send = partial(getattr(session, method.lower()), path)
        else:
            self.send = partial(session.request, method, path)

    async def run(self, session: Session) -> None:
        await self.send()


class Quick(LoadTest):
    """What `chaperon quick` launches; everything comes from its arguments."""

    services: ClassVar = {"target": Service("", max_redirects=0)}
    scenarios: ClassVar = [Population(OneRequest, name="quick")]
