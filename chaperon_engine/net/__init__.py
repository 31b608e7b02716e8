"""What the clients of all protocols share: URLs, names, TLS, dialling, cookies, deadlines.

Must not know HTTP exchanges, WebSocket frames, scenarios or sessions.
"""
