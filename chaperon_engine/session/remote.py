"""What a session can ask of the rest of the run: one small port, injected by the worker."""

from __future__ import annotations

from typing import Protocol

from chaperon_engine.definition.model import Scenario
from chaperon_engine.definition.scheduled import ScheduledOutcome, ScheduledScenario


class RemotePort(Protocol):
    """The rest of the run, as far as sessions care."""

    def name_of(self, scenario: type[Scenario]) -> str:
        """The name under which every worker finds this class. Raises InvalidRequest."""
        ...

    async def schedule(self, what: ScheduledScenario) -> ScheduledOutcome:
        """Have a scenario run on some worker; how it ended. Cancelled: it is ended there."""
        ...
