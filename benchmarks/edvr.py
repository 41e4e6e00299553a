"""EDVR-M as a stream beside whole windows, on one thread of a CPU: equality, work, time, memory.

    python benchmarks/edvr.py [WIDTHxHEIGHT...] [--plain PATH] [--memory WIDTHxHEIGHT]

Weights are random, those of the offsets too. Both run in this process, in turn; the least CPU time
of each counts. The plain form is this checkout's, or with ``--plain`` that of another checkout.
``--memory`` is the largest resident size of a process of its own that streams frames of this size.
"""

import argparse
import importlib
import resource
import sys
from collections.abc import Callable
from itertools import count
from time import thread_time

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from streamsr.networks.edvr import EDVR
from streamsr.networks.facts import Colour, Facts
from streamsr.networks.sliding import SlidingWindow
from streamsr.train.scoring import cost_of
from streamsr.zoo.loading import in_channels_last

FACTS = Facts(4, 5, 2, Colour.RGB, 4)
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("sizes", nargs="*", default=["64x48", "320x180"])
    parser.add_argument("--plain", help="a checkout, whose streamsr/networks/edvr is compared with")
    parser.add_argument("--memory", help="only the memory of a stream of this size")
    parser.add_argument("--precision", choices=PRECISIONS, default="bfloat16")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    if asked.memory:
        memory(*map(int, asked.memory.split("x")), PRECISIONS[asked.precision])
        return
    plain = random_network(plain_class(asked.plain))
    share = cost_of(EDVR(), FACTS).macs / plain_macs(plain)
    say(f"multiply-adds: {share:.3f} of the plain form's")
    columns = "size", "precision", "plain s", "stream s", "newest s", "of float32", "differ by"
    say(f"| {' | '.join(columns)} |")
    say("|---" * len(columns) + "|")
    for size in asked.sizes:
        width, height = map(int, size.split("x"))
        compare(plain, width, height)


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def plain_class(checkout: str | None) -> Callable[[], nn.Module]:
    """EDVR of another checkout, under the names that it has there."""
    if checkout is None:
        return EDVR
    loaded = [name for name in sys.modules if name.startswith("streamsr")]
    ours = {name: sys.modules.pop(name) for name in loaded}
    sys.path.insert(0, checkout)
    try:
        found: Callable[[], nn.Module] = importlib.import_module("streamsr.networks.edvr").EDVR
    finally:
        sys.path.remove(checkout)
        for name in [name for name in sys.modules if name.startswith("streamsr")]:
            del sys.modules[name]
        sys.modules.update(ours)
    return found


def random_network(make: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    network = make().requires_grad_(False).eval()
    for name, parameter in network.named_parameters():
        if "conv_offset" in name:  # fresh, there are no offsets
            parameter.normal_(std=2 / max(1, parameter[0].numel()) ** 0.5)
    return network


def plain_macs(network: nn.Module) -> float:
    """Multiply-adds a pixel of a window."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, 5, 3, 64, 64))
    return counter.get_total_flops() / 2 / 64**2


def compare(plain: nn.Module, width: int, height: int) -> None:
    state = plain.state_dict()
    rounds = 3 if width * height > 1 << 14 else 8
    frames = torch.rand(5 + rounds, 3, height, width, generator=torch.Generator().manual_seed(0))
    exact_s = 0.0
    for precision, dtype in PRECISIONS.items():
        streamed = EDVR().requires_grad_(False).eval()
        streamed.load_state_dict(state)
        whole = in_channels_last(plain.to(dtype))
        model = SlidingWindow(in_channels_last(streamed.to(dtype)), FACTS)
        windows, stream, last, output = measured(whole, model, frames)
        exact_s = exact_s or windows
        differ = (output - whole_window(whole, frames)).abs().max()
        share, of_exact = stream / windows, stream / exact_s
        cells = f"{windows:.3f}", f"{stream:.3f} ({share:.2f})", f"{last:.3f}", f"{of_exact:.2f}"
        say(f"| {width}x{height} | {precision} | {' | '.join(cells)} | {differ:.1e} |")
        plain.float().load_state_dict(state)


def whole_window(plain: nn.Module, frames: Tensor) -> Tensor:
    with torch.inference_mode():
        output: Tensor = plain(frames[None, -5:])[0]
    return output


def measured(
    plain: nn.Module, model: SlidingWindow, frames: Tensor
) -> tuple[float, float, float, Tensor]:
    """The least CPU seconds of a window, of a frame of the stream and of it once the newest frame
    is there; and the last output."""
    state = model.start(1, *frames.shape[2:])
    times: list[tuple[float, float, float]] = []
    output = frames[0]
    for number, frame in zip(count(), frames, strict=False):
        began_s = thread_time()
        with torch.inference_mode():
            ready = model.push(frame[None], state)
            arrival = model.arrival(state, 0)
            assert arrival is not None
            outputs = model.run(ready)
            done_s = thread_time()
            arrival.align()
        stream_s = thread_time() - began_s
        if number >= 5:
            ((_, output),) = outputs
            again_s = thread_time()
            whole_window(plain, frames[number - 4 : number + 1])
            times.append((thread_time() - again_s, stream_s, done_s - began_s))
    windows, streams, lasts = zip(*times, strict=True)
    return min(windows), min(streams), min(lasts), output


def memory(width: int, height: int, dtype: torch.dtype) -> None:
    network = random_network(EDVR).to(dtype)
    model = SlidingWindow(in_channels_last(network), FACTS)
    state = model.start(1, height, width)
    with torch.inference_mode():
        for _ in range(6):
            ready = model.push(torch.rand(1, 3, height, width), state)
            arrival = model.arrival(state, 0)
            assert arrival is not None
            arrival.begin()
            while ready:
                model.run([ready.pop(0)])
            arrival.align()
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    say(f"{width}x{height} in {dtype}: {peak_gb:.2f} GB at most")


if __name__ == "__main__":
    main()
