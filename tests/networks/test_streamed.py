"""EDVR as frames arrive: the same as on whole windows, in every form, and no work done twice."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from streamsr.networks.edvr import EDVR
from streamsr.networks.facts import Colour, Facts
from streamsr.networks.sliding import Ready, SlidingWindow, WindowState
from streamsr.networks.streamed import StreamedWindow
from streamsr.networks.window import Window, mirrored_indices

TINY = {
    "num_feat": 8,
    "deformable_groups": 2,
    "num_extract_block": 1,
    "num_reconstruct_block": 1,
}
FORMS: dict[str, dict[str, Any]] = {
    "m": {},
    "l": {"num_feat": 16, "num_extract_block": 2, "num_reconstruct_block": 3},
    "7 frames": {"num_frame": 7},
    "3 frames": {"num_frame": 3},
    "1 frame": {"num_frame": 1},
    "without tsa": {"with_tsa": False},
    "predeblur": {"with_predeblur": True},
    "hr_in": {"with_predeblur": True, "hr_in": True},
    "hr_in, 7 frames, without tsa": {
        "with_predeblur": True,
        "hr_in": True,
        "num_frame": 7,
        "with_tsa": False,
    },
    "no lookahead": {"num_frame": 3, "center_frame_idx": 2},
}


def made(**options: Any) -> SlidingWindow:
    """A network whose parameters are all random, and whose offsets leave the image."""
    torch.manual_seed(0)
    network = EDVR(**{**TINY, **options}).requires_grad_(False).eval()
    for name, parameter in network.named_parameters():
        spread = 5.0 if "conv_offset" in name else 1.0
        parameter.normal_(std=spread / max(1, parameter[0].numel()) ** 0.5)
    lookahead = network.num_frame - 1 - network.centre
    scale, multiple = (1, 16) if network.hr_in else (4, 4)
    return SlidingWindow(network, Facts(scale, network.num_frame, lookahead, Colour.RGB, multiple))


def clip(model: SlidingWindow, count: int, seed: int = 0) -> Tensor:
    side = model.facts.multiple
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 3, 2 * side, 3 * side, generator=generator)


def plain(model: SlidingWindow, frames: Tensor) -> list[Tensor]:
    size, lookahead = model.facts.window, model.facts.lookahead
    windows = [mirrored_indices(n, size, len(frames), lookahead) for n in range(len(frames))]
    return [model.network(frames[list(window)][None])[0] for window in windows]


def nothing(ready: list[Ready], model: SlidingWindow, state: WindowState) -> None:
    """A stream whose windows do everything."""


def as_they_arrive(ready: list[Ready], model: SlidingWindow, state: WindowState) -> None:
    arrival = model.arrival(state, 0)
    assert arrival is not None
    arrival.begin()
    arrival.align()


def streamed(
    model: SlidingWindow,
    frames: Tensor,
    state: WindowState,
    each: Callable[[list[Ready], SlidingWindow, WindowState], None] = as_they_arrive,
) -> list[Tensor]:
    outputs = []
    for frame in frames:
        ready = model.push(frame[None], state)
        outputs += [output for _, output in model.run(ready)]
        each(ready, model, state)
    return outputs + [output for _, output in model.flush(state, 0)]


@pytest.mark.parametrize("each", [nothing, as_they_arrive])
@pytest.mark.parametrize("options", FORMS.values(), ids=FORMS)
def test_streaming_is_the_plain_form_at_every_border_and_after_every_reset(
    options: dict[str, Any], each: Callable[..., None]
) -> None:
    model = made(**options)
    assert model.streaming
    state = model.start(1, *clip(model, 1).shape[2:])
    counts = [1, 2, model.facts.window, model.facts.window + 3, 4]
    for seed, count in enumerate(counts):
        frames = clip(model, count, seed)
        outputs = streamed(model, frames, state, each)
        assert len(outputs) == count
        for output, wanted in zip(outputs, plain(model, frames), strict=True):
            assert output.dtype == torch.float32
            torch.testing.assert_close(output, wanted, atol=1e-4, rtol=1e-4)


def test_a_network_with_its_centre_elsewhere_runs_whole_windows() -> None:
    network = EDVR(**TINY, num_frame=3, center_frame_idx=0).requires_grad_(False)
    model = SlidingWindow(network, Facts(4, 3, 1, Colour.RGB, 4))
    assert not model.streaming
    frames = clip(model, 5)
    state = model.start(1, *frames.shape[2:])
    outputs = [output for frame in frames for _, output in model.step(frame[None], state)[0]]
    assert model.arrival(state, 0) is None
    for output, wanted in zip(outputs, plain(model, frames), strict=False):
        torch.testing.assert_close(output, wanted)


def test_no_frame_is_seen_twice_and_no_pair_aligned_twice() -> None:
    model = made(num_frame=5)
    network = model.network
    assert isinstance(network, EDVR)
    seen: Counter[str] = Counter()
    watched = {
        "features": network.conv_first,
        "references": network.reconstruction,
        "aligned": network.pcd_align.cas_dcnpack,
    }
    for name, module in watched.items():
        module.register_forward_hook(lambda _m, _i, made, name=name: seen.update({name: len(made)}))
    frames = clip(model, 12)
    streamed(model, frames, model.start(1, *frames.shape[2:]))
    assert seen == {"features": 12, "references": 12, "aligned": 60}


def test_what_is_known_of_a_frame_is_forgotten_with_it() -> None:
    model = made(num_frame=5)
    frames = clip(model, 30)
    state = model.start(1, *frames.shape[2:])
    held = []
    for frame in frames:
        model.run(model.push(frame[None], state))
        as_they_arrive([], model, state)
        kept = state.streamed[0].values()
        held.append((len(kept), sum(len(one._aligned) for one in kept)))
    assert held[4:] == [(5, 7)] * 26
    model.flush(state, 0)
    assert not state.streamed[0]


def macs(work: Callable[[], object]) -> float:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops() / 2


def test_the_work_of_edvr_m() -> None:
    """None is done twice, and little is left once the newest frame is there."""
    network = EDVR().requires_grad_(False)
    model = SlidingWindow(network, Facts(4, 5, 2, Colour.RGB, 4))
    frames = torch.rand(8, 3, 16, 16)
    whole = macs(lambda: network(frames[None, :5]))
    state = model.start(1, 16, 16)
    for frame in frames[:6]:
        model.push(frame[None], state)
        as_they_arrive([], model, state)
    (ready,) = model.push(frames[6:7], state)
    arrival = model.arrival(state, 0)
    assert arrival is not None
    window = ready.window
    assert isinstance(window, StreamedWindow)
    last = macs(window.run)
    ahead = macs(arrival.align)
    assert last <= 0.43 * whole
    assert last + ahead <= 0.76 * whole


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("lookahead", [0, 1, 2, 3])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6, 7, 12])
def test_what_is_aligned_ahead_is_needed(lookahead: int, count: int, at_once: bool) -> None:
    """Each pair once, none for nothing, and in a long stream all but the newest frame's."""
    size = 2 * lookahead + 1 if lookahead else 3
    window = Window(size, lookahead)
    ahead: set[tuple[int, int]] = set()
    for newest in range(count):
        position, _ = window.push()
        assert window.newest == position == newest % size
        numbers = {number % size: number for number in range(max(0, newest - size + 1), newest + 1)}
        pairs = [
            (numbers[frame], numbers[reference])
            for frame, reference in window.ahead(at_once=at_once)
        ]
        assert len(set(pairs)) == len(pairs)
        assert not ahead & set(pairs)
        ahead |= set(pairs)
    needed = {
        (frame, centre)
        for centre in range(count)
        for frame in mirrored_indices(centre, size, count, lookahead)
    }
    assert ahead <= needed
    steady = range(lookahead, count - lookahead) if lookahead else ()
    assert all(
        (frame, centre) in ahead
        for centre in steady
        for frame in range(centre - lookahead, centre + lookahead)
    )


def test_a_wrong_frame_is_refused_before_anything_is_kept() -> None:
    network: nn.Module = made().network
    assert isinstance(network, EDVR)
    with pytest.raises(ValueError, match="multiples of 4"):
        network.features(torch.rand(1, 3, 6, 8))
