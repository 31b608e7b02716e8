"""What scenario code is handed: `Session`, and what the worker does with it."""

from chaperon_engine.actions.signal import ANY
from chaperon_engine.actions.spawn import ChildHandle, SpreadHandle
from chaperon_engine.session.assigned import Assigned
from chaperon_engine.session.log import LogBook
from chaperon_engine.session.session import Session
from chaperon_engine.session.verbs import ServiceView

__all__ = ["ANY", "Assigned", "ChildHandle", "LogBook", "ServiceView", "Session", "SpreadHandle"]
