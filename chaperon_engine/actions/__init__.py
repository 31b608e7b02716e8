"""Actions: one module a kind, and the protocol for kinds of one's own."""

from chaperon_engine.actions.http import HttpAction, RequestKeywords
from chaperon_engine.actions.protocol import Actionable

__all__ = ["Actionable", "HttpAction", "RequestKeywords"]
