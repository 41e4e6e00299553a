"""The recurrent network: what it keeps, what it forgets, and whose mean its output has."""

import pytest
import torch
from torch import Tensor

from streamsr.networks.recurrent import Recurrent
from streamsr.networks.resample import resize

SIZE = (20, 28)


@pytest.fixture
def network() -> Recurrent:
    torch.manual_seed(4)
    made = Recurrent(features=12, layers=4, kept=6).requires_grad_(False)
    made.body[-1].weight.mul_(10)  # fresh, it hardly differs from its bicubic skip
    return made


def frames(count: int, seed: int = 0) -> Tensor:
    """(count, 1, h, w) that drift to the left."""
    generator = torch.Generator().manual_seed(seed)
    wide = torch.rand(1, SIZE[0], SIZE[1] + count, generator=generator)
    return torch.stack([wide[:, :, n : n + SIZE[1]] for n in range(count)])


def windows(clip: Tensor) -> list[Tensor]:
    before = torch.cat((clip[:1], clip[:-1]))
    return [torch.stack(pair)[None] for pair in zip(before, clip, strict=True)]


def run(network: Recurrent, clip: Tensor) -> list[Tensor]:
    memory, outputs = network.fresh(1, *SIZE), []
    for window in windows(clip):
        output, memory = network(window, memory)
        outputs.append(output)
    return outputs


def test_shapes_and_the_memory_it_leaves(network: Recurrent) -> None:
    memory = network.fresh(3, *SIZE)
    assert [tuple(part.shape) for part in memory] == [(3, 1, 80, 112), (3, 6, 20, 28), (3, 1, 1, 1)]
    output, after = network(torch.rand(3, 2, 1, *SIZE), memory)
    assert output.shape == (3, 1, 80, 112)
    assert output.dtype == torch.float32
    assert [part.shape for part in after] == [part.shape for part in memory]
    torch.testing.assert_close(after[0], output)
    assert after[2].eq(1).all()


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


def test_what_moves_along_is_found_again(network: Recurrent) -> None:
    """A memory that is moved with the frame tells as much as one of the same place would."""
    clip = frames(2)
    still, moving = (network.align(window) for window in windows(clip))
    fresh = network.fresh(1, *SIZE)
    memory = (resize(clip[0][None], 4), fresh[1], torch.ones_like(fresh[2]))
    wanted, _ = network.advance(moving, fresh)
    followed, _ = network.advance(moving, memory)
    left, _ = network.advance(moving._replace(output_grid=still.output_grid), memory)
    inside = (..., slice(16, -16), slice(16, -16))
    assert (followed - wanted)[inside].abs().mean() < 0.5 * (left - wanted)[inside].abs().mean()


def test_gradients_reach_the_first_frame(network: Recurrent) -> None:
    clip = frames(4).requires_grad_(True)
    run(network, clip)[-1].square().mean().backward()
    assert clip.grad is not None
    assert clip.grad.flatten(1).abs().sum(1).gt(0).all()


@pytest.mark.parametrize("kept", [0, 13])
def test_it_keeps_some_of_its_features(kept: int) -> None:
    with pytest.raises(ValueError, match=f"kept: got {kept}, allowed is 1 to 12"):
        Recurrent(features=12, kept=kept)
