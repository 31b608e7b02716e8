"""The comparison's work as a scenario: one GET per iteration."""

from chaperon_engine import Scenario, Session


class Get(Scenario):
    """A session that asks without a pause."""

    async def run(self, session: Session) -> None:
        await session.get("/")
