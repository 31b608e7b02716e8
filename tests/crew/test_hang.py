"""Reading the place of a hang from a dumped stack."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import tempfile
import time

from chaperon_engine.crew.hang import innermost_user_frame

DUMP = """Current thread 0x00007f (most recent call first):
  File "/usr/lib/python3.11/socket.py", line 706 in readinto
  File "/usr/lib/python3.11/http/client.py", line 280 in _read_status
  File "/home/ann/shop.py", line 12 in run
  File "/opt/chaperon_engine/worker/iteration.py", line 99 in _live
"""
FOREIGN = ("/usr/lib/python3.11", "/opt/chaperon_engine")


def test_the_innermost_frame_of_the_user_is_named() -> None:
    assert innermost_user_frame(DUMP, FOREIGN) == "/home/ann/shop.py:12 in run"


def test_without_a_frame_of_the_user_the_innermost_of_all_is_named() -> None:
    foreign = (*FOREIGN, "/home/ann")
    assert innermost_user_frame(DUMP, foreign).startswith("/usr/lib/python3.11/socket.py:706")


def test_an_empty_or_torn_dump_names_nothing() -> None:
    assert innermost_user_frame("") == ""
    assert innermost_user_frame("Current thread\n  File ") == ""


def test_what_faulthandler_really_writes_is_understood() -> None:
    def hang() -> None:
        os.kill(os.getpid(), signal.SIGUSR1)
        time.sleep(0)

    with tempfile.TemporaryFile() as file:
        faulthandler.register(signal.SIGUSR1, file=file, all_threads=False)
        try:
            hang()
        finally:
            faulthandler.unregister(signal.SIGUSR1)
        file.seek(0)
        place = innermost_user_frame(file.read().decode())
    assert place.startswith(f"{__file__}:")
    assert place.endswith("in hang")
    assert sys.platform
