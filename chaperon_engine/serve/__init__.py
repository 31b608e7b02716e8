"""`chaperon serve`: a queue of load tests, one at a time, with an HTTP API.

Everything that comes over HTTP is hostile until it is proven otherwise: `guard`, `access` and `app`
stand before authentication, `admission` decides what somebody with the token may start. User code
never runs here. Must not know: terminals; how a run is executed.
"""
