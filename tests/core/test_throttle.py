"""How often what repeats is told."""

from streamsr.core.throttle import Throttle


def test_a_key_is_admitted_once_per_interval() -> None:
    throttle = Throttle(1.0)
    assert throttle.admit("a", 0.0) == 0
    assert throttle.admit("a", 0.9) is None
    assert throttle.admit("a", 0.95) is None
    assert throttle.admit("a", 1.0) == 2
    assert throttle.admit("a", 2.0) == 0


def test_keys_do_not_hold_each_other_back() -> None:
    throttle = Throttle(1.0)
    assert throttle.admit("a", 0.0) == 0
    assert throttle.admit("b", 0.0) == 0
