"""The smallest load test: ten sessions ask for one page for ten seconds."""

from chaperon_engine import LoadTest, Population, Scenario, Service, Session


class Hello(Scenario):
    """One visitor who asks for the front page again and again."""

    async def run(self, session: Session) -> None:
        await session.get("/")


class HelloTest(LoadTest):
    """The smallest load test: ten sessions ask for one page for ten seconds."""

    services = {"target": Service("http://127.0.0.1:7070")}
    scenarios = [Population(Hello, sessions=10, duration="10s")]
