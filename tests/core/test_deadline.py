"""The one deadline of a stop."""

from streamsr.core.deadline import STOP_S, Deadline


def test_a_share_ends_before_the_whole() -> None:
    whole = Deadline(10.0, 14.0)
    assert whole.share(0.5) == Deadline(10.0, 12.0)
    assert whole.share(0.5).share(0.5) == Deadline(10.0, 11.0)


def test_what_is_left_is_never_negative() -> None:
    assert Deadline.after(-1.0).left_s() == 0.0


def test_a_deadline_starts_now() -> None:
    assert 0.9 * STOP_S < Deadline.after().left_s() <= STOP_S
    assert 0.9 * STOP_S < Deadline.after(2 * STOP_S).share(0.5).left_s() <= STOP_S
