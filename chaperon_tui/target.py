"""The bundled target as a child process of a demo; it ends with its owner."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from types import TracebackType

from chaperon_engine import EngineError

START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 5.0


class BundledTarget:
    """Context manager: the target serves on a free loopback port while it is open."""

    def __init__(self) -> None:
        self.url = ""
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> BundledTarget:
        """Start it and wait for its line. Raises EngineError."""
        process = subprocess.Popen(
            [sys.executable, "-m", "chaperon_engine.target", "--port", "0", "--exit-with-stdin"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._process = process
        # A pipe has no time limit of its own.
        limit = threading.Timer(START_TIMEOUT_S, process.kill)
        limit.start()
        try:
            assert process.stdout is not None
            self.url = str(json.loads(process.stdout.readline())["url"])
        except (ValueError, KeyError, TypeError):
            self._end()
            raise EngineError("the bundled target did not start") from None
        finally:
            limit.cancel()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()

    def _end(self) -> None:
        process = self._process
        if process is None:
            return
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()
