"""Who owns a run, and when nobody does any more."""

from __future__ import annotations

from chaperon_engine.protocol.lease import Leases


def test_a_run_without_a_lease_never_expires() -> None:
    assert not Leases().expired(10**9)


def test_it_expires_five_seconds_after_the_last_holder_has_gone() -> None:
    leases = Leases()
    leases.acquire(1)
    leases.acquire(2)
    leases.release(1, 10.0)
    assert not leases.expired(100.0)
    leases.release(2, 100.0)
    assert not leases.expired(104.9)
    assert leases.expired(105.0)


def test_a_holder_who_comes_back_in_time_keeps_the_run() -> None:
    leases = Leases()
    leases.acquire(1)
    leases.release(1, 10.0)
    leases.acquire(2)
    assert not leases.expired(1000.0)
    assert leases.holders == {2}


def test_a_viewer_without_a_lease_changes_nothing_when_it_goes() -> None:
    leases = Leases()
    leases.acquire(1)
    leases.release(7, 10.0)
    assert not leases.expired(1000.0)


def test_a_holder_who_is_expected_and_never_comes_lets_the_run_expire() -> None:
    leases = Leases(grace_s=2)
    leases.expect(10.0)
    assert not leases.expired(11.9)
    assert leases.expired(12.0)


def test_an_expected_holder_who_has_come_already_stays() -> None:
    leases = Leases()
    leases.acquire(1)
    leases.expect(10.0)
    assert not leases.expired(1000.0)
