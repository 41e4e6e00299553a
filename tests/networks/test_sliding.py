"""Streaming a frame at a time gives what each network gives on the windows of the whole clip."""

from collections.abc import Iterable

import pytest
import torch
from torch import Tensor, nn

from streamsr.networks.contract import RecurrentNetwork
from streamsr.networks.edvr import EDVR
from streamsr.networks.facts import Colour, Facts
from streamsr.networks.fast import Fast
from streamsr.networks.recurrent import Recurrent
from streamsr.networks.resample import Resample
from streamsr.networks.sliding import Finished, SlidingWindow, WindowState
from streamsr.networks.window import mirrored_indices

TOLERANCE = {"atol": 1e-5, "rtol": 1e-5}  # a batch of windows may sum in another order than one


def edvr(frames: int) -> SlidingWindow:
    torch.manual_seed(1)
    network = EDVR(
        num_feat=8,
        num_frame=frames,
        deformable_groups=2,
        num_extract_block=1,
        num_reconstruct_block=1,
    ).requires_grad_(False)
    for parameter in network.parameters():  # fresh, it hardly looks beyond its centre
        parameter.normal_(std=max(1, parameter[0].numel()) ** -0.5)
    return SlidingWindow(network, Facts(4, frames, frames // 2, Colour.RGB, 4))


def fast(scale: int = 4, fold: int = 1) -> SlidingWindow:
    torch.manual_seed(1)
    network = Fast(features=8, layers=3, scale=scale, fold=fold).requires_grad_(False)
    network.body[-1].weight.mul_(10)  # fresh, it hardly differs from its bicubic skip
    return SlidingWindow(network, Facts(scale, 1, 0, Colour.LUMA, fold))


def recurrent(scale: int = 4, fold: int = 1) -> SlidingWindow:
    torch.manual_seed(1)
    network = Recurrent(features=8, layers=3, kept=4, scale=scale, fold=fold).requires_grad_(False)
    network.body[-1].weight.mul_(10)
    return SlidingWindow(network, Facts(scale, 2, 0, Colour.LUMA, fold))


def resample() -> SlidingWindow:
    return SlidingWindow(Resample("lanczos", 2), Facts(2, 1, 0, Colour.RGB))


MODELS = {
    "edvr-5": lambda: edvr(5),
    "edvr-3": lambda: edvr(3),
    "fast": fast,
    "fast-folded": lambda: fast(1, 4),
    "recurrent": recurrent,
    "recurrent-folded": lambda: recurrent(2, 2),
    "resample": resample,
}


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> SlidingWindow:
    made: SlidingWindow = MODELS[request.param]()
    return made


def clip(model: SlidingWindow, count: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, model.facts.colour.channels, 8, 12, generator=generator)


def whole(model: SlidingWindow, frames: Tensor) -> list[Tensor]:
    """What the plain network gives, a window at a time."""
    size, lookahead = model.facts.window, model.facts.lookahead
    outputs, memory = [], None
    for centre in range(len(frames)):
        window = frames[list(mirrored_indices(centre, size, len(frames), lookahead))][None]
        if isinstance(model.network, RecurrentNetwork):
            memory = memory or model.network.fresh(1, *frames.shape[2:])
            output, memory = model.network(window, memory)
        else:
            output = model.network(window)
        outputs.append(output[0])
    return outputs


def started(model: SlidingWindow, batch: int = 1) -> WindowState:
    return model.start(batch, 8, 12)


def pushed(model: SlidingWindow, state: WindowState, slot: int, frames: Tensor) -> list[Tensor]:
    outputs: list[Tensor] = []
    for frame in frames:
        outputs += only(slot, model.step(frame[None], state, [slot])[0])
    return outputs


def only(slot: int, finished: Iterable[Finished]) -> list[Tensor]:
    finished = list(finished)
    assert all(found == slot for found, _ in finished)
    return [output for _, output in finished]


def assert_same(outputs: list[Tensor], expected: list[Tensor]) -> None:
    assert len(outputs) == len(expected)
    for output, wanted in zip(outputs, expected, strict=True):
        torch.testing.assert_close(output, wanted, **TOLERANCE)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6, 11])
def test_streaming_is_the_whole_clip(model: SlidingWindow, count: int) -> None:
    frames, state = clip(model, count), started(model)
    outputs = pushed(model, state, 0, frames) + only(0, model.flush(state, 0))
    assert_same(outputs, whole(model, frames))
    scale = model.facts.scale
    assert all(
        output.shape == (frames.shape[1], 8 * scale, 12 * scale) and output.dtype == torch.float32
        for output in outputs
    )


def test_an_output_depends_on_its_whole_window() -> None:
    """Else the tests above could pass with any window."""
    model = edvr(5)
    frames = clip(model, 5)
    centre = whole(model, frames)[2]
    for index in range(5):
        other = frames.clone()
        other[index] = 1 - other[index]
        assert (whole(model, other)[2] - centre).abs().max() > 0.01


def test_the_ends_are_mirrored_around_the_centre() -> None:
    model = edvr(5)
    frames, state = clip(model, 8), started(model)
    outputs = pushed(model, state, 0, frames) + only(0, model.flush(state, 0))
    for output, window in ((outputs[0], [4, 3, 0, 1, 2]), (outputs[-1], [5, 6, 7, 4, 3])):
        torch.testing.assert_close(output, model.network(frames[window][None])[0], **TOLERANCE)


def test_outputs_come_lookahead_frames_late(model: SlidingWindow) -> None:
    window, lookahead = model.facts.window, model.facts.lookahead
    frames, state = clip(model, window + 3), started(model)
    counts = [len(model.step(frame[None], state)[0]) for frame in frames]
    waiting = window - 1 if lookahead else 0
    first = [0] * waiting + [lookahead + 1]
    assert counts == first + [1] * (len(frames) - len(first))
    assert len(model.flush(state, 0)) == lookahead


@pytest.mark.parametrize("before", [1, 4, 7])
def test_nothing_crosses_the_end_of_a_stream(model: SlidingWindow, before: int) -> None:
    state = started(model)
    pushed(model, state, 0, clip(model, before, seed=1))
    model.drain(state, 0)
    frames = clip(model, 7, seed=2)
    outputs = pushed(model, state, 0, frames) + only(0, model.flush(state, 0))
    assert_same(outputs, whole(model, frames))


def test_a_flushed_slot_serves_the_next_stream(model: SlidingWindow) -> None:
    state = started(model)
    for seed, count in ((1, 6), (2, 2), (3, 7)):
        frames = clip(model, count, seed)
        outputs = pushed(model, state, 0, frames) + only(0, model.flush(state, 0))
        assert_same(outputs, whole(model, frames))


def test_slots_out_of_phase_do_not_touch(model: SlidingWindow) -> None:
    """Three streams start, pause, reset and end at times of their own, in one pool."""
    state = started(model, 3)
    clips = {0: clip(model, 9, 1), 1: clip(model, 7, 2), 2: clip(model, 6, 3)}
    begins = {0: 0, 1: 1, 2: 4}
    collected: dict[int, list[Tensor]] = {0: [], 1: [], 2: []}
    pushed(model, state, 2, clip(model, 3, 4))  # a stream that is cut off before it began to flow
    model.drain(state, 2)
    for tick in range(12):
        due = [s for s in (2, 0, 1) if 0 <= tick - begins[s] < len(clips[s])]
        if due:
            frames = torch.stack([clips[s][tick - begins[s]] for s in due])
            for slot, output in model.step(frames, state, due)[0]:
                collected[slot].append(output)
        for slot in due:
            if tick - begins[slot] == len(clips[slot]) - 1:
                collected[slot] += only(slot, model.flush(state, slot))
    for slot, frames in clips.items():
        assert_same(collected[slot], whole(model, frames))


def test_windows_may_run_long_after_their_frames_came(model: SlidingWindow) -> None:
    """A window that was given is a copy: later frames, and another stream's, leave it alone."""
    frames, state = clip(model, 11), started(model)
    ready = [window for frame in frames for window in model.push(frame[None], state, [0])]
    ready += model.drain(state, 0)
    pushed(model, state, 0, clip(model, 6, seed=1))
    assert_same(only(0, model.run(ready)), whole(model, frames))
    assert model.run([]) == []


def test_all_windows_of_a_step_run_as_one_batch() -> None:
    batches: list[int] = []

    class Counting(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            batches.append(len(x))
            return x[:, 1]

    model = SlidingWindow(Counting(), Facts(1, 3, 1, Colour.RGB))
    state = started(model, 2)
    frames = clip(model, 2)
    for _ in range(4):
        finished, same = model.step(frames, state)
        assert same is state
    assert [slot for slot, _ in finished] == [0, 1]
    assert batches == [4, 2]


def test_a_frame_for_each_slot() -> None:
    model = resample()
    with pytest.raises(ValueError, match="got 2 frames for 1 slots"):
        model.step(clip(model, 2), started(model))


@pytest.mark.parametrize(("height", "width", "name"), [(6, 8, "height"), (8, 10, "width")])
def test_sides_are_multiples(height: int, width: int, name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}: got .*, allowed is a multiple of 4"):
        edvr(3).start(1, height, width)


@pytest.mark.parametrize("facts", [Facts(4, 3, 1, Colour.LUMA), Facts(4, 2, 0, Colour.RGB)])
def test_a_recurrent_network_sees_two_frames_of_luma(facts: Facts) -> None:
    with pytest.raises(ValueError, match="allowed is one of 2 frames of luma"):
        SlidingWindow(Recurrent(features=8, kept=4), facts)


def test_a_sliding_window_is_centred() -> None:
    with pytest.raises(ValueError, match="got 1, allowed is 0, and half"):
        SlidingWindow(nn.Identity(), Facts(4, 5, 1, Colour.RGB))
