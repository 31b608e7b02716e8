"""Conversations over WebSockets: every message must come back as it was."""

from chaperon_engine import LoadTest, Population, Scenario, Service, Session


class Echo(Scenario):
    """Somebody who connects, says a few things, waits for the echo of each, and leaves."""

    async def init(self, session: Session) -> None:
        session.assign(said=0)

    async def run(self, session: Session) -> None:
        await session.ws_connect("/ws/echo")
        await session.repeat_traced(self.echo, session.config("echoes"))
        await session.ws_close()
        await session.delay("100ms", random="200ms")

    async def echo(self, session: Session) -> None:
        session.update_assign(said=lambda said: said + 1)
        message = f"Echo #{session.assigned.said}"
        await session.ws_send(message)
        await session.ws_await_recv(message)


class EchoTest(LoadTest):
    """A hundred people who talk to an echo for ten seconds."""

    services = {"target": Service("http://127.0.0.1:7070")}
    default_config = {"config": {"echoes": 10}}
    scenarios = [Population(Echo, sessions=100, duration="10s")]
