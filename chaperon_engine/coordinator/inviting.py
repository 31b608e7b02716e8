"""How others come to a run that listens, in the words that viewers are told.

Must not know: who comes, or how a connection is made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from chaperon_engine.coordinator.state import RunState
from chaperon_engine.coordinator.viewer import ViewerRole
from chaperon_engine.protocol.messages import Gathering

if TYPE_CHECKING:
    # It lists files, which a run without agents never does.
    from chaperon_engine.runs.bundle import Bundle


@dataclass(frozen=True)
class Invitation:
    """How others come to a run, as a viewer is told it; empty: nobody can."""

    join: str = ""
    """The command that attaches a machine."""
    attach: str = ""
    """The command with which others watch."""
    token_file: str = ""
    """Where the agents' token lies on this host."""


@dataclass(frozen=True)
class Invitations:
    """The same in the words for this host, with its paths, and for other machines."""

    here: Invitation = Invitation()
    elsewhere: Invitation = Invitation()

    def for_role(self, role: ViewerRole) -> Invitation:
        """What a viewer of this role is told."""
        return self.here if role == "owner" else self.elsewhere


NOBODY_IS_INVITED = Invitations()


def gatherings_of(state: RunState, invitations: Invitations) -> tuple[Gathering | None, Gathering]:
    """How far the agents are that the load waits for, for who waits as well: on this host, where
    nothing is to be told when it waits for none, and elsewhere, where it shows that the run
    lives."""
    terms = state.roster.terms

    def gathering(invitation: Invitation) -> Gathering:
        return Gathering(
            join=invitation.join,
            attach=invitation.attach,
            token_file=invitation.token_file,
            expected=0 if terms is None else terms.expect,
            attached=[agent.name for agent in state.roster.agents],
        )

    here = None if terms is None else gathering(invitations.here)
    return here, gathering(invitations.elsewhere)


@dataclass(frozen=True)
class Attachment:
    """What agents and viewers need to come to a run."""

    invitations: Invitations = NOBODY_IS_INVITED
    code: Bundle | None = None
    """The test, which travels to agents; None when none takes part."""

    @property
    def bundle(self) -> Bundle:
        """The test, asked for by a run that has agents."""
        assert self.code is not None
        return self.code
