"""`Session`: what scenario code is handed. One simulated user, on one worker.

The public methods of its parts are the API of scenarios; `lifecycle` has what the worker does with
a session.
"""

from __future__ import annotations

from chaperon_engine.session.calls import Calls
from chaperon_engine.session.children import Children
from chaperon_engine.session.findings import Findings
from chaperon_engine.session.logs import Logs
from chaperon_engine.session.nested import Nested
from chaperon_engine.session.signals import Signals
from chaperon_engine.session.values import Values
from chaperon_engine.session.waits import Waits


class Session(Calls, Nested, Signals, Children, Waits, Values, Findings, Logs):
    """One simulated user walking a scenario. The HTTP verbs go to its first service.

    Functions handed to a session (`call`, `repeat`, `loop` ...) are called with the session first,
    then with the given arguments; what they return is awaited if it can be. A bound method of the
    scenario is such a function: `session.repeat(self.browse, 3)`.
    """

    __slots__ = ()

    @property
    def _session(self) -> Session:
        return self
