"""Actions: one module a kind, and the protocol for kinds of one's own."""

from chaperon_engine.actions.http import HttpAction, RequestKeywords
from chaperon_engine.actions.protocol import Actionable
from chaperon_engine.actions.ws import WebSocketAction

__all__ = ["Actionable", "HttpAction", "RequestKeywords", "WebSocketAction"]
