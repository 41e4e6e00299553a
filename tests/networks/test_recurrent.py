"""The recurrent network: what it keeps, what it forgets, and whose mean its output has."""

from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from streamsr.networks.flow import flow_of_planes
from streamsr.networks.recurrent import Recurrent
from streamsr.networks.resample import resize

SIZE = (20, 28)
MEMBERS = [(4, 1), (4, 2), (3, 1), (3, 2), (2, 2), (2, 4), (1, 2), (1, 4)]  # scale, fold
every_member = pytest.mark.parametrize(("scale", "fold"), MEMBERS)


def member(scale: int = 4, fold: int = 1) -> Recurrent:
    torch.manual_seed(4)
    made = Recurrent(features=12, layers=4, kept=6, scale=scale, fold=fold).requires_grad_(False)
    made.body[-1].weight.mul_(10)  # fresh, it hardly differs from its bicubic skip
    return made


@pytest.fixture
def network() -> Recurrent:
    return member()


def frames(count: int, seed: int = 0) -> Tensor:
    """(count, 1, h, w) that drift to the left."""
    generator = torch.Generator().manual_seed(seed)
    wide = torch.rand(1, SIZE[0], SIZE[1] + count, generator=generator)
    return torch.stack([wide[:, :, n : n + SIZE[1]] for n in range(count)])


def texture(count: int) -> Tensor:
    """(count, 1, 40, 64) that drift by two pixels a frame, smooth enough to be followed."""
    generator = torch.Generator().manual_seed(2)
    wide = torch.rand(1, 1, 10, 16 + count, generator=generator)
    wide = F.interpolate(wide, scale_factor=4, mode="bicubic")[0]
    return torch.stack([wide[:, :, 2 * n : 2 * n + 64] for n in range(count)])


def windows(clip: Tensor) -> list[Tensor]:
    before = torch.cat((clip[:1], clip[:-1]))
    return [torch.stack(pair)[None] for pair in zip(before, clip, strict=True)]


def run(network: Recurrent, clip: Tensor) -> list[Tensor]:
    memory, outputs = network.fresh(1, *clip.shape[2:]), []
    for window in windows(clip):
        output, memory = network(window, memory)
        outputs.append(output)
    return outputs


@every_member
def test_shapes_and_the_memory_it_leaves(scale: int, fold: int) -> None:
    network, (height, width) = member(scale, fold), SIZE
    memory = network.fresh(3, *SIZE)
    image, features = (3, 1, scale * height, scale * width), (3, 6, height // fold, width // fold)
    assert [tuple(part.shape) for part in memory] == [image, features, (3, 1, 1, 1)]
    window = torch.rand(3, 2, 1, *SIZE)
    assert network.motion(window).shape == (3, 2, height // fold, width // fold)
    output, after = network(window, memory)
    assert output.shape == image
    assert output.dtype == torch.float32
    assert [part.shape for part in after] == [part.shape for part in memory]
    torch.testing.assert_close(after[0], output)
    assert after[2].eq(1).all()


@every_member
def test_without_its_last_layer_it_is_bicubic(scale: int, fold: int) -> None:
    network, clip = member(scale, fold), frames(3)
    network.body[-1].weight.zero_()
    network.body[-1].bias.zero_()
    for frame, output in zip(clip, run(network, clip), strict=True):
        torch.testing.assert_close(output[0], resize(frame, scale), atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", [(4, 4), (4, 36), (44, 4)])
@pytest.mark.parametrize("fold", [1, 2, 4])
def test_the_smallest_frames(size: tuple[int, int], fold: int) -> None:
    network = member(2, fold)
    memory = network.fresh(1, *size)
    for _ in range(3):
        output, memory = network(torch.rand(1, 2, 1, *size), memory)
    assert output.shape == (1, 1, 2 * size[0], 2 * size[1])
    assert output.isfinite().all()


@pytest.mark.parametrize("fold", [1, 2, 4])
def test_its_motion_is_the_flow_of_its_planes(fold: int) -> None:
    """So that one found on the host for a GPU is the same."""
    network = member(2, fold)
    levels = torch.stack([torch.cat(windows(frames(4, seed)))[3] for seed in range(3)])
    levels = (levels * 255).round()
    motion = network.motion(levels / 255)
    assert motion.abs().amax() > 0.5 / fold
    for window, given in zip(levels[:, :, 0].to(torch.uint8).numpy(), motion, strict=True):
        flow = network.motion_of_planes(window[1], window[0])
        np.testing.assert_array_equal(flow, flow_of_planes(window[1], window[0], fold))
        np.testing.assert_array_equal(given.permute(1, 2, 0), flow)


def test_a_motion_that_is_given_is_not_looked_for(network: Recurrent) -> None:
    window = windows(frames(2))[1]
    memory = network.fresh(1, *SIZE)
    known, _ = network(window, memory)
    given, _ = network(window, memory, network.motion(window).contiguous())
    still, _ = network(window, memory, torch.zeros(1, 2, *SIZE))
    torch.testing.assert_close(given, known, atol=0, rtol=0)
    assert (still - known).abs().max() > 1e-3


def test_an_output_depends_on_every_frame_before_it(network: Recurrent) -> None:
    clip = frames(5)
    last = run(network, clip)[-1]
    for number in range(5):
        other = clip.clone()
        other[number] = 1 - other[number]
        assert not torch.allclose(run(network, other)[-1], last, atol=1e-4)


def test_a_fresh_memory_is_no_black_image(network: Recurrent) -> None:
    """What was never seen counts as what bicubic gives, not as darkness."""
    window = windows(frames(1))[0]
    image, features, seen = network.fresh(1, *SIZE)
    output, _ = network(window, (image, features, seen))
    other, _ = network(window, (image + 0.7, features, seen))
    torch.testing.assert_close(output, other)
    known, _ = network(window, (resize(window[:, 1], 4), features, torch.ones_like(seen)))
    torch.testing.assert_close(output, known, atol=1e-4, rtol=0)


def test_every_mean_is_that_of_bicubic(network: Recurrent) -> None:
    clip = frames(12)
    for frame, output in zip(clip, run(network, clip), strict=True):
        assert float(output.mean()) == pytest.approx(float(resize(frame, 4).mean()), abs=1e-5)


def test_rows_of_a_batch_do_not_mix(network: Recurrent) -> None:
    clips = [frames(3, seed) for seed in range(3)]
    memory, outputs = network.fresh(3, *SIZE), []
    for together in zip(*(windows(clip) for clip in clips), strict=True):
        output, memory = network(torch.cat(together), memory)
        outputs.append(output)
    for number, clip in enumerate(clips):
        alone = run(network, clip)
        for output, wanted in zip(outputs, alone, strict=True):
            torch.testing.assert_close(output[number : number + 1], wanted, atol=1e-4, rtol=0)


@pytest.mark.parametrize("fold", [1, 2])
def test_what_moves_along_is_found_again(fold: int) -> None:
    """A memory that is moved with the frame tells as much as one of the same place would."""
    network, clip = member(4 // fold, fold), texture(2)
    still, moving = (network.align(window, network.motion(window)) for window in windows(clip))
    fresh = network.fresh(1, *clip.shape[2:])
    memory = (resize(clip[0][None], 4 // fold), fresh[1], torch.ones_like(fresh[2]))
    wanted, _ = network.advance(moving, fresh)
    followed, _ = network.advance(moving, memory)
    left, _ = network.advance(moving._replace(output_grid=still.output_grid), memory)
    inside = (..., slice(16, -16), slice(16, -16))
    assert (followed - wanted)[inside].abs().mean() < 0.5 * (left - wanted)[inside].abs().mean()


@every_member
def test_gradients_reach_the_first_frame(scale: int, fold: int) -> None:
    network, clip = member(scale, fold), frames(4).requires_grad_(True)
    run(network, clip)[-1].square().mean().backward()
    assert clip.grad is not None
    assert clip.grad.flatten(1).abs().sum(1).gt(0).all()


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("kept", 0, "1 to 12"),
        ("kept", 13, "1 to 12"),
        ("layers", 1, "2 or more"),
        ("scale", 0, "1 or more"),
        ("fold", 0, "1 or more"),
    ],
)
def test_options_that_cannot_be(name: str, value: int, allowed: str) -> None:
    with pytest.raises(ValueError, match=f"{name}: got {value}, allowed is {allowed}"):
        Recurrent(**{"features": 12, name: value})


class NoHost(TorchDispatchMode):
    """Raises where an operation on a device takes a tensor of the host, or gives one."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> object:
        out = func(*args, **(kwargs or {}))
        for tensor in filter(torch.is_tensor, tree_leaves((args, kwargs, out))):
            assert tensor.device.type == "meta", f"{func} waits for the host"
        return out


@every_member
def test_a_step_whose_motion_is_known_needs_nothing_of_the_host(
    scale: int, fold: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A CUDA graph can hold it; tensors without values stand for those of a GPU."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # knows no such device
    network = member(scale, fold).to("meta")
    height, width = SIZE
    window = torch.empty(3, 2, 1, *SIZE, device="meta")
    motion = torch.empty(3, height // fold, width // fold, 2, device="meta").permute(0, 3, 1, 2)
    memory = network.fresh(3, *SIZE)
    network(window, memory, motion)  # filters are made on the host, once
    with torch.inference_mode(), NoHost():
        output, after = network(window, memory, motion)
    assert output.shape == (3, 1, scale * height, scale * width)
    assert [part.shape for part in after] == [part.shape for part in memory]
    with pytest.raises((NotImplementedError, RuntimeError)), NoHost():
        network(window, memory)
