import pytest

from chaperon_engine.metrics.health import HealthTracker, verdict
from chaperon_engine.metrics.model import HealthSample

LIMITS = [
    # sample, median service time in us, level           meaning
    ({}, 0, "good"),  # nothing measured, nothing wrong
    ({"lag_p99_us": 1_000}, 0, "good"),  # a millisecond is allowed
    ({"lag_p99_us": 1_001}, 0, "degraded"),
    ({"lag_p99_us": 4_000}, 50_000, "good"),  # a tenth of slow replies is more than a millisecond
    ({"lag_p99_us": 5_001}, 50_000, "degraded"),
    ({"lag_p99_us": 1_001}, 500, "degraded"),  # fast replies do not lower the limit
    ({"lag_p99_us": 10_000}, 500_000, "good"),
    ({"lag_p99_us": 10_001}, 500_000, "saturated"),  # beyond 10 ms whatever the replies
    ({"cpu": 0.85}, 0, "good"),
    ({"cpu": 0.86}, 0, "degraded"),
    ({"cpu": 0.95}, 0, "degraded"),
    ({"cpu": 0.96}, 0, "saturated"),
    ({"steal": 0.05}, 0, "good"),
    ({"steal": 0.06}, 0, "degraded"),  # steal alone never saturates
    ({"steal": 0.9}, 0, "degraded"),
    ({"cpu": 0.99, "lag_p99_us": 1_500}, 0, "saturated"),  # the worse one counts
    ({"gc_us": 10**6, "rss_bytes": 10**12}, 0, "good"),  # shown, not judged
]


@pytest.mark.parametrize(("sample", "median_us", "level"), LIMITS)
def test_a_worker_second_is_judged_by_lag_cpu_and_steal(sample, median_us, level):
    found = verdict(HealthSample(**sample), median_us)
    assert found.level == level
    assert bool(found.reason) == (level != "good")


def test_the_reason_names_worker_figure_and_limit():
    tracker = HealthTracker()
    tracker.observe(3, [(0, HealthSample()), (2, HealthSample(lag_p99_us=14_200))])
    assert tracker.view().reason == "worker 2: event loop lag p99 14.2 ms, limit 10 ms"
    tracker.observe(4, [(1, HealthSample(cpu=0.873))])
    assert tracker.view().reason == "worker 1: CPU 87.3% of a core, limit 85%"
    tracker.observe(5, [(1, HealthSample())])
    assert tracker.view().reason == ""
    assert tracker.summary().reason.endswith("14.2 ms, limit 10 ms (second 3)")


def test_shares_count_worker_seconds_and_saturated_ones_are_degraded_too():
    tracker = HealthTracker()
    assert tracker.view().degraded_share == 0.0
    assert tracker.observe(0, [(0, HealthSample()), (1, HealthSample())]) == "good"
    assert tracker.observe(1, [(0, HealthSample(cpu=0.9)), (1, HealthSample())]) == "degraded"
    assert tracker.observe(2, [(0, HealthSample(cpu=1.0)), (1, HealthSample())]) == "saturated"
    assert tracker.observe(3, []) == "good"
    view = tracker.view()
    assert (view.verdict, view.worst) == ("good", "saturated")
    assert (view.degraded_share, view.saturated_share) == (2 / 6, 1 / 6)
    assert (view.first_degraded_s, view.first_saturated_s) == (1.0, 2.0)
    summary = tracker.summary()
    assert (summary.verdict, summary.cpu, summary.lag_p99_us) == ("saturated", 1.0, 0)


def test_a_run_that_saturates_at_once_was_degraded_from_then_on():
    tracker = HealthTracker()
    tracker.observe(7, [(0, HealthSample(cpu=1.0))])
    assert tracker.view().first_degraded_s == tracker.view().first_saturated_s == 7.0
