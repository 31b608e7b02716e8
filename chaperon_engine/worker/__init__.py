"""One worker process: its loop, its share of the sessions, its frames and its health."""
