"""A fast echo server that counts: `python -m bench.websocket_server CORE` prints its port.

picows on uvloop, so that the clients are the limit, not the server. A plain `GET /count` says how
many messages it has echoed.
"""

from __future__ import annotations

import asyncio
import os
import sys

import uvloop
from picows import (
    WSCloseCode,
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
    ws_create_server,
)

_DATA = (WSMsgType.TEXT, WSMsgType.BINARY)


class _Echo(WSListener):
    echoed = 0

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type in _DATA:
            _Echo.echoed += 1
            transport.send(frame.msg_type, frame.get_payload_as_bytes())
        elif frame.msg_type is WSMsgType.CLOSE:
            transport.send_close(WSCloseCode.OK)
            transport.disconnect()


def _answer(request: WSUpgradeRequest) -> WSListener | WSUpgradeResponseWithListener:
    if request.path == b"/count":
        response = WSUpgradeResponse.create_ok_response(b"%d" % _Echo.echoed)
        return WSUpgradeResponseWithListener(response, None)
    return _Echo()


async def _serve() -> None:
    server = await ws_create_server(_answer, "127.0.0.1", 0, use_aiofastnet=False, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {int(sys.argv[1])})
    uvloop.run(_serve())
