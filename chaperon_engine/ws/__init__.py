"""The WebSocket client on the hot path. Must not know scenarios or sessions."""
