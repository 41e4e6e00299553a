"""What streams take of a GPU, by when their batches were launched and done."""

from types import SimpleNamespace
from typing import Any

import pytest

from streamsr.core.metrics import Meter
from streamsr.engine.cuda import job as module
from streamsr.engine.cuda.job import charge_gpu


def a_batch(launched_s: float, *meters: Meter) -> Any:
    return [SimpleNamespace(launched_s=launched_s, stream=SimpleNamespace(meter=m)) for m in meters]


def test_batches_that_wait_for_each_other_are_charged_one_after_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done = iter([10.4, 10.6, 13.1])
    monkeypatch.setattr(module, "monotonic", lambda: next(done))
    one, other = Meter(), Meter()
    for meter in (one, other):
        meter.left(0.0, "1280x720")
    served_s = charge_gpu(a_batch(10.0, one, other), 0.0)  # 0.2 each
    served_s = charge_gpu(a_batch(10.1, one), served_s)  # it waited for the one before: 0.2
    charge_gpu(a_batch(13.0, other), served_s)  # 0.1
    spent = []
    for meter in (one, other):
        meter.left(0.0, "1280x720")
        (began_s, _, before), (ended_s, _, after) = meter._departures
        assert meter.takes_ms()[1] == pytest.approx((after - before) * 1e3 / (ended_s - began_s))
        spent.append(after)
    assert spent == pytest.approx([0.4, 0.3])
