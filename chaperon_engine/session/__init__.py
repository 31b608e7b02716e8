"""What scenario code is handed: `Session`, and what the worker does with it."""

from chaperon_engine.session.assigned import Assigned
from chaperon_engine.session.log import LogBook
from chaperon_engine.session.session import Session
from chaperon_engine.session.verbs import ServiceView

__all__ = ["Assigned", "LogBook", "ServiceView", "Session"]
