"""The Autobahn test suite's cases for clients: run against the suite, and replayed without it.

The suite exists for Python 2.7 only. `python -m tests.ws.autobahn` runs it where there is one and
writes down what it and the client said to each other in the cases that it found correct;
`tests/ws/test_ws_autobahn.py` replays that.
"""
