"""Workers of a pretended run: real recorders and shared counters, frames that went over a wire."""

import msgspec

from chaperon_engine.metrics.counters import RunCounters
from chaperon_engine.metrics.model import Frame, SeriesKey
from chaperon_engine.metrics.recorder import Recorder

S = 1_000_000_000
MS = 1_000_000


def http_key(url="/", **labels):
    return SeriesKey(kind="http", action="get", method="GET", url=url, **labels)


class Fleet:
    def __init__(self, workers, *, max_series=2000):
        self.counters = RunCounters(workers)
        self.recorders = [
            Recorder(self.counters.worker(number), max_series=max_series)
            for number in range(workers)
        ]
        self._seq = [0] * workers
        for recorder in self.recorders:
            recorder.begin(0)

    def request(self, worker, url="/", us=1000, *, status=200, expected=True, failed="", times=1):
        """Complete requests that took `us`."""
        series = self.recorders[worker].http(http_key(url))
        for _ in range(times):
            series.sent(100)
            if failed:
                series.failed(0, us * 1000, failed)
            else:
                series.completed(0, us * 500, us * 1000, status, expected, 10)

    def frame(self, worker, end_s, **rest):
        """The worker's next frame, as the coordinator gets it."""
        frame = (
            self.recorders[worker]
            .collect(round(end_s * S))
            .frame(worker, 0, self._seq[worker], **rest)
        )
        self._seq[worker] += 1
        return msgspec.msgpack.decode(msgspec.msgpack.encode(frame), type=Frame)
