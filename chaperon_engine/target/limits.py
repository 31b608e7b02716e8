"""The bounds of everything a client can ask of the target, so that no request can hurt its host."""

MAX_REQUEST_BODY = 16 * 1024 * 1024
"""Bytes of a request's body; more is answered with 413."""

MAX_REPLY_BODY = 100 * 1000 * 1000
"""Bytes of a reply's body that `/bytes` and `/chunked` send at most."""

MAX_CHUNKS = 10_000
"""Chunks of one `/chunked` reply."""

MAX_CHUNK_SIZE = 1024 * 1024
"""Bytes of one chunk of `/chunked`."""

MAX_WAIT_MS = 60_000
"""Milliseconds that `/slow` and a long poll wait at most; longer waits are cut to this."""

MAX_REDIRECTS = 100
"""Hops of `/redirect/N`."""

MAX_WEBSOCKET_MESSAGE = 16 * 1024 * 1024
"""Bytes of one WebSocket message; more closes the socket with 1009."""

MAX_CHANNELS = 10_000
"""Channels that exist at the same time; the longest unused without subscribers gives way."""

MAX_CHANNEL_BUFFER = 256
"""Messages that one channel keeps for late readers."""

MAX_CHANNEL_MESSAGE = 64 * 1024
"""Bytes of one published message; more is answered with 413."""

MAX_CHANNEL_BYTES = 64 * 1024 * 1024
"""Bytes that all channels keep together; the oldest messages of the longest unused go first."""
