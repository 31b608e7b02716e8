"""Sessions that open a connection and then do nothing: what an idle session costs in memory."""

from chaperon_engine import Scenario, Session


class Idle(Scenario):
    """One request, then a pause beyond the end of any measurement."""

    async def run(self, session: Session) -> None:
        await session.get("/")
        await session.delay(3600)
