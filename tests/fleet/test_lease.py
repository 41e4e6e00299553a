"""The host's lease: until when it may publish, by its own clock alone."""

from streamsr.fleet.lease import HostLease
from streamsr.fleet.messages import Orders

ORDERS = Orders(lease_s=3.0, cameras=(), version=1)


def test_a_lease_runs_from_the_question_not_from_the_answer() -> None:
    lease = HostLease()
    assert not lease.holds(0.0)
    sent = lease.asks(10.0)
    assert lease.takes(sent, ORDERS)
    assert lease.holds(12.9)
    assert not lease.holds(13.0)


def test_an_answer_to_an_earlier_question_is_not_taken() -> None:
    lease = HostLease()
    first = lease.asks(10.0)
    second = lease.asks(11.0)
    assert not lease.takes(first, ORDERS)
    assert not lease.holds(11.0)
    assert lease.takes(second, ORDERS)
    assert not lease.takes(second, ORDERS), "once"
    assert lease.until == 14.0


def test_questions_of_one_moment_are_told_apart() -> None:
    lease = HostLease()
    assert lease.asks(10.0) < lease.asks(10.0)


def test_an_answer_that_comes_after_thirty_frozen_seconds_lets_nothing_out() -> None:
    lease = HostLease()
    sent = lease.asks(10.0)
    assert lease.takes(sent, ORDERS)
    assert not lease.holds(40.0)
