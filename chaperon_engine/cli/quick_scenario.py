"""The scenario behind `chaperon quick`: one request, again and again."""

from __future__ import annotations

import base64
from typing import ClassVar

from chaperon_engine import LoadTest, Population, Scenario, Service, Session


class OneRequest(Scenario):
    """The same request over and over."""

    async def init(self, session: Session) -> None:
        self.path = session.config("quick.path", "/")
        self.method = session.config("quick.method", "GET").lower()
        body = session.config("quick.secret_body", None)
        self.body = None if body is None else base64.b64decode(body)

    async def run(self, session: Session) -> None: ...


class Quick(LoadTest):
    """What `chaperon quick` launches; everything comes from its arguments."""

    services: ClassVar = {"target": Service("", max_redirects=0)}
    scenarios: ClassVar = [Population(OneRequest, name="quick")]
