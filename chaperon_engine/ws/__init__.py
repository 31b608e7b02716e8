"""The WebSocket client on the hot path. Must not know scenarios or sessions.

`WsWorker` is one per worker process; `WsWorker.connect` opens a `WebSocket`.
"""

from chaperon_engine.ws.options import ConnectOptions
from chaperon_engine.ws.series import NULL_SERIES, SocketSeries
from chaperon_engine.ws.socket import WebSocket
from chaperon_engine.ws.target import WsTarget
from chaperon_engine.ws.worker import WsWorker

__all__ = ["NULL_SERIES", "ConnectOptions", "SocketSeries", "WebSocket", "WsTarget", "WsWorker"]
