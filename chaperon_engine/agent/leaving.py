"""How the part of one host in a run comes to its end, and what is said of it. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from chaperon_engine.agent.events import Ending, Finish
from chaperon_engine.crew.events import WorkerState
from chaperon_engine.protocol.wire import AgentDone, AgentNote, AgentStopped
from chaperon_engine.text import visible

SIGNAL = "a signal on its host"
ASKED = "it was asked to leave"
DIED = "its process died"
MAX_SENTENCE = 1_500


@dataclass
class Leaving:
    """What was done and said about the end so far."""

    why: str = ""
    """Why this host's load ends before that of the others; empty when it does not."""
    died: bool = False
    """The process whose load it was died before it ended."""
    notes: list[AgentNote] = field(default_factory=list)
    """What the coordinator shall know as soon as it is reached."""
    told_idle: bool = False
    is_released: bool = False
    """The workers were told that nothing will be placed on them any more."""
    aborted_at: float | None = None
    is_in_haste: bool = False
    """A second signal came: what cannot be delivered at once is kept on disk."""
    done_at: float | None = None
    """When AgentDone was told."""

    def stopped(self) -> AgentStopped:
        """What to tell of a load that ended before that of the others."""
        return AgentStopped(why=self.why, died=self.died)

    def warn(self, text: str) -> None:
        """Something that people at the coordinator should know."""
        self.notes.append(AgentNote(level="warning", text=visible(text, MAX_SENTENCE)))

    def last_word(self, workers: list[WorkerState]) -> AgentDone:
        """What to tell when everything is delivered."""
        ended = [worker for worker in workers if worker.state == "done"]
        refused_all = bool(ended) and all(worker.refused_all for worker in ended)
        return AgentDone(no_session_passed_init=refused_all)

    def farewell(self, *, delivers: bool) -> Finish:
        """The end of an agent that has delivered everything; `delivers`: what an earlier one had
        measured was all there was to do."""
        if delivers:
            return Finish("what an earlier agent had measured is delivered", "done")
        if self.why in ("", ASKED):
            return Finish(self.why or "done", "done")
        ending: Ending = "interrupted" if self.why == SIGNAL else "failed"
        return Finish(f"left before the end: {self.why}; all it measured is delivered", ending)
