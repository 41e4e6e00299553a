"""The one deadline of a stop."""

from streamsr.core.deadline import STOP_S, Deadline


def test_a_share_ends_before_the_whole() -> None:
    whole = Deadline.after(4.0, now_s=10.0)
    assert whole.share(0.5) == Deadline(10.0, 12.0)
    assert whole.share(0.5).share(0.5) == Deadline(10.0, 11.0)


def test_what_is_left_is_never_negative() -> None:
    deadline = Deadline.after(2.0, now_s=1.0)
    assert deadline.left_s(now_s=2.5) == 0.5
    assert deadline.left_s(now_s=9.0) == 0.0


def test_a_deadline_starts_now() -> None:
    assert 0.9 * STOP_S < Deadline.after().left_s() <= STOP_S
