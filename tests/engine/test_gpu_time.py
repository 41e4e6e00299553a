"""What streams take of a GPU, by when their batches were launched and done."""

from types import SimpleNamespace
from typing import Any

import pytest

from streamsr.core import metrics
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
    monkeypatch.setattr(metrics, "monotonic", lambda: 100.0)
    one, other = Meter(), Meter()
    for meter in (one, other):
        meter.left(0.0, "1280x720")
    served_s = charge_gpu(a_batch(10.0, one, other), 0.0)  # 0.2 each
    served_s = charge_gpu(a_batch(10.1, one), served_s)  # it waited for the one before: 0.2
    charge_gpu(a_batch(13.0, other), served_s)  # 0.1
    spent = []
    monkeypatch.setattr(metrics, "monotonic", lambda: 102.0)
    for meter in (one, other):
        meter.left(0.0, "1280x720")
        spent.append(meter.takes_ms()[1] * 2 / 1e3)
    assert spent == pytest.approx([0.4, 0.3])
