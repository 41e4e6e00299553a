"""The recurrent network in 8-bit integers: how far from floats it is, and that strips are exact."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import pytest
import torch
from torch import Tensor

from streamsr.networks.chain import ChainLink
from streamsr.networks.contract import Memory, RecurrentNetwork
from streamsr.networks.int8 import runs_int8
from streamsr.networks.recurrent import Recurrent
from streamsr.networks.recurrent_int8 import Int8Recurrent
from streamsr.networks.resample import resize
from streamsr.sources.demo import Scene
from streamsr.zoo.loading import make_network
from streamsr.zoo.registry import find, listing
from streamsr.zoo.weights import read_weights

pytestmark = pytest.mark.skipif(not runs_int8(), reason="this CPU has no AVX2")

MEMBERS = [(4, 1), (3, 1), (2, 2), (1, 4)]  # scale, fold
every_member = pytest.mark.parametrize(("scale", "fold"), MEMBERS)
FRAMES = 5
SHIPPED = [
    name
    for name, entry in listing().items()
    if (entry.card.network, entry.card.precision) == ("recurrent", "int8")
]


def made(scale: int, fold: int) -> Recurrent:
    torch.manual_seed(4)
    network = Recurrent(features=24, layers=5, kept=12, scale=scale, fold=fold)
    for conv in network.body:
        conv.bias.data.uniform_(-0.03, 0.03)
    network.body[-1].weight.data.mul_(5)  # fresh, it hardly differs from its bicubic skip
    return network.requires_grad_(False).eval()


def shipped(name: str) -> Recurrent:
    entry = find(name)
    network = make_network(entry.card)
    assert isinstance(network, Recurrent)
    assert entry.card.weights is not None
    weights = entry.card.weights
    read_weights(entry.folder / weights.file, weights.sha256, network)
    return network.requires_grad_(False).eval()


def frames(width: int, height: int, count: int = FRAMES) -> list[Tensor]:
    """(1, height, width) luma of the built-in camera's clip, in levels."""
    scene = Scene(width, height)
    return [torch.from_numpy(scene.frame(20 + n)[0].copy())[None].float() for n in range(count)]


def windows(clip: Sequence[Tensor]) -> list[Tensor]:
    return [
        torch.stack((before, frame))[None] / 255
        for before, frame in zip([clip[0], *clip], clip, strict=False)
    ]


def run(network: RecurrentNetwork[object], clip: Sequence[Tensor], parts: int = 1) -> list[Tensor]:
    """(1, s*h, s*w) in levels, one a frame."""
    memory, outputs = network.fresh(1, *clip[0].shape[1:]), []
    with torch.inference_mode():
        for window in windows(clip):
            aligned = network.align(window, network.motion(window))
            output, memory = network.step(aligned, memory, parts).run()
            outputs.append(levels(output)[0])
    return outputs


def levels(output: Tensor) -> Tensor:
    return output.float() if output.dtype is torch.uint8 else (output * 255).round().clamp(0, 255)


def psnr(image: Tensor, truth: Tensor) -> float:
    return float(10 * torch.log10(255**2 / (image - truth).square().mean()))


@every_member
def test_it_is_near_to_the_floats(scale: int, fold: int) -> None:
    """Far nearer than it is to the bicubic skip: its detail and its memory are those of floats."""
    network, clip = made(scale, fold), frames(64, 48)
    ours, exact = run(Int8Recurrent(network), clip), run(network, clip)
    for number, (one, other) in enumerate(zip(ours, exact, strict=True)):
        detail = other - resize(clip[number], scale).round()
        assert one.shape == other.shape
        assert (one - other).square().mean() < 0.1 * detail.square().mean()
        assert (one - other).abs().mean() < 1.2  # differences are cut off beyond 64 levels


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_model_loses_little(name: str) -> None:
    """Of its own PSNR, 0.05 dB at most, on frames that it has not seen."""
    network, truths = shipped(name), frames(576, 336)
    low = [resize(truth, Fraction(1, network.scale)).round().clamp(0, 255) for truth in truths]
    ours, exact = run(Int8Recurrent(network), low), run(network, low)
    pairs = list(zip(ours, exact, truths, strict=True))
    assert abs(sum(psnr(b, truth) - psnr(a, truth) for a, b, truth in pairs) / len(pairs)) < 0.05
    assert not any(torch.equal(a, b) for a, b, _ in pairs)


@every_member
def test_strips_give_exactly_what_one_piece_gives(scale: int, fold: int) -> None:
    network = Int8Recurrent(made(scale, fold))
    for lines in (40, 68, 70, 97, 135):  # of places; less than two strips, odd, uneven thirds
        clip = frames(36 * fold, lines * fold, 3)
        whole = run(network, clip)
        for parts in (2, 3, 4):
            for one, other in zip(run(network, clip, parts), whole, strict=True):
                assert torch.equal(one, other), (lines, parts)


@pytest.mark.parametrize(("lines", "parts", "expected"), [(31, 4, 1), (64, 4, 2), (180, 3, 3)])
def test_a_strip_is_no_mere_margin(lines: int, parts: int, expected: int) -> None:
    network = Int8Recurrent(made(4, 1))
    (window,) = windows(frames(36, lines, 1))
    aligned = network.align(window, network.motion(window))
    assert len(network.step(aligned, network.fresh(1, lines, 36), parts).parts) == expected


def test_strips_may_run_in_any_threads_and_order() -> None:
    network = Int8Recurrent(made(2, 2))
    clip = frames(96, 192, 4)
    whole, memory = run(network, clip), network.fresh(1, 192, 96)
    with ThreadPoolExecutor(3) as threads:
        for window, wanted in zip(windows(clip), whole, strict=True):
            step = network.step(network.align(window, network.motion(window)), memory, 3)
            list(threads.map(lambda part: part(), reversed(step.parts)))
            output, memory = step.finish()
            assert torch.equal(levels(output)[0], wanted)


@every_member
def test_without_its_last_layer_it_is_bicubic(scale: int, fold: int) -> None:
    network, clip = made(scale, fold), frames(64, 48, 3)
    network.body[-1].weight.zero_()
    network.body[-1].bias.zero_()
    for frame, output in zip(clip, run(Int8Recurrent(network), clip), strict=True):
        assert (output - resize(frame, scale).round().clamp(0, 255)).abs().max() <= 1


def test_a_first_frame_has_no_memory_and_black_is_none() -> None:
    """What was never seen counts as what bicubic gives, not as darkness, as in floats."""
    network = made(4, 1)
    quantised = Int8Recurrent(network)
    (window,) = windows(frames(64, 48, 1))
    fresh = quantised.fresh(1, 48, 64)
    first, after = _advanced(quantised, window, fresh)
    unseen, _ = _advanced(quantised, window, (fresh[0] + 90, fresh[1] + 9, fresh[2]))
    assert torch.equal(first, unseen)
    again, _ = _advanced(quantised, window, after)
    assert not torch.equal(first, again), "what it remembers shows"
    exact, _ = network(window, network.fresh(1, 48, 64))
    assert (levels(first) - levels(exact)).abs().mean() < 1


def test_a_window_can_be_advanced_with_one_memory_after_another() -> None:
    """Aligned once: nothing of the first memory is left in it."""
    network = Int8Recurrent(made(4, 1))
    clip = frames(64, 48, 2)
    first, second = windows(clip)
    fresh = network.fresh(1, 48, 64)
    _, memory = _advanced(network, first, fresh)
    aligned = network.align(second, network.motion(second))
    remembering, _ = network.advance(aligned, memory)
    alone, _ = network.advance(network.align(second, network.motion(second)), fresh)
    again, _ = network.advance(aligned, fresh)
    assert not torch.equal(remembering, alone)
    assert torch.equal(again, alone)


def test_a_chain_that_starts_again_gives_what_a_new_one_gives() -> None:
    network = Int8Recurrent(made(4, 1))
    clip = windows(frames(64, 48, 4))

    def chained(link: ChainLink, some: Sequence[Tensor]) -> list[Tensor]:
        outputs = []
        for window in some:
            link.align(window[0])
            outputs.append(link.advance())
            link = link.next()
        return outputs

    with torch.inference_mode():
        new = chained(ChainLink.first(network, (48, 64)), clip[2:])
        failed = ChainLink.first(network, (48, 64))
        failed.align(clip[0][0])
        failed.begin(1)
        failed.fail()
        restarted = chained(failed.next(), clip[2:])
        going_on = chained(ChainLink.first(network, (48, 64)), clip)[2:]
    assert all(map(torch.equal, restarted, new))
    assert not torch.equal(going_on[0], new[0])


def test_an_output_depends_on_every_frame_before_it() -> None:
    network, clip = Int8Recurrent(made(2, 2)), frames(64, 48)
    last = run(network, clip)[-1]
    for number in range(FRAMES):
        other = list(clip)
        other[number] = 255 - other[number]
        assert not torch.equal(run(network, other)[-1], last)


def test_one_network_serves_many_threads() -> None:
    network = Int8Recurrent(made(4, 1))
    clips = [frames(40 + 4 * n, 36, 3) for n in range(6)]
    wanted = [run(network, clip) for clip in clips]
    with ThreadPoolExecutor(4) as threads:
        for outputs, expected in zip(
            threads.map(lambda c: run(network, c), clips), wanted, strict=True
        ):
            assert all(map(torch.equal, outputs, expected))


@pytest.mark.parametrize("size", [(4, 4), (4, 36), (44, 8)])
@every_member
def test_the_smallest_frames(size: tuple[int, int], scale: int, fold: int) -> None:
    network, height, width = Int8Recurrent(made(scale, fold)), *size
    memory = network.fresh(1, height, width)
    for seed in range(3):
        window = torch.rand(1, 2, 1, *size, generator=torch.Generator().manual_seed(seed))
        output, memory = _advanced(network, window, memory)
    assert output.shape == (1, 1, scale * height, scale * width)


def test_its_memory_is_all_that_it_keeps() -> None:
    network = Int8Recurrent(made(4, 1))
    assert not list(network.parameters())
    memory = network.fresh(1, 180, 320)
    assert sum(part.numel() * part.element_size() for part in memory) < 5e6  # a result in floats


def test_a_fold_that_does_not_suit_is_refused() -> None:
    with pytest.raises(ValueError, match="fold: got 5, allowed is a divisor"):
        Int8Recurrent(made(1, 5))


def _advanced(
    network: RecurrentNetwork[object], window: Tensor, memory: Memory
) -> tuple[Tensor, Memory]:
    with torch.inference_mode():
        return network.advance(network.align(window, network.motion(window)), memory)
