"""What this CPU can do at most: what ``bench`` compares a network with."""

from collections.abc import Callable, Iterator
from time import thread_time

import torch

from streamsr.networks.convolutions import Convolutions
from streamsr.networks.int8 import LEVELS, PackedConv
from streamsr.zoo.card import Precision
from streamsr.zoo.loading import in_channels_last

__all__ = ["cpu_limit_gmac_s"]

FEATURES, HEIGHT, WIDTH = 64, 180, 320  # of the convolution: a quarter of a second in float32
TIMES = 12  # the quickest counts: nothing else ran meanwhile


def cpu_limit_gmac_s(precision: Precision) -> float:
    """Returns how many billions of multiply-adds one thread does in a second of CPU time, in a
    large 3x3 convolution and its ReLU, by the kernels that the networks run on."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            spent_s = min(_seconds(_convolution(precision)))
    finally:
        torch.set_num_threads(threads)
    return 9 * FEATURES**2 * HEIGHT * WIDTH / spent_s / 1e9


def _convolution(precision: Precision) -> Callable[[], object]:
    features = torch.rand(1, FEATURES, HEIGHT, WIDTH).contiguous(memory_format=torch.channels_last)
    if precision == "int8":
        weight = torch.randn(FEATURES, FEATURES, 3, 3) / FEATURES
        packed = PackedConv.of(weight, torch.zeros(FEATURES), 1 / LEVELS)
        levels = (features * LEVELS).to(torch.uint8)
        return lambda: packed(levels, 1 / LEVELS)
    dtype = torch.float32 if precision == "float32" else torch.bfloat16
    stack = Convolutions.of([FEATURES] * 3).to(dtype)  # the last one is left out below
    in_channels_last(stack)
    given = features.to(dtype)
    return lambda: stack.hidden(given)


def _seconds(work: Callable[[], object]) -> Iterator[float]:
    for _ in range(TIMES):
        began_s = thread_time()
        work()
        yield thread_time() - began_s
