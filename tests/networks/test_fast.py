"""``fast``: its fused form, its bfloat16 form and its skip give what the plain form gives."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from streamsr.networks import convolutions as module
from streamsr.networks.fast import Fast
from streamsr.networks.resample import resize

SIZES = pytest.mark.parametrize("size", [(18, 32), (17, 31), (1, 1)], ids=str)
MEMBERS = [(scale, fold) for scale in (1, 2, 3, 4) for fold in (1, 2, 4)]
every_member = pytest.mark.parametrize(("scale", "fold"), MEMBERS)


def network(**options: int) -> Fast:
    torch.manual_seed(5)
    made = Fast(**{"features": 16, "layers": 4, **options}).requires_grad_(False)
    made.body[-1].weight.mul_(10)  # fresh, it hardly differs from its bicubic skip
    for conv in made.body:
        conv.bias.uniform_(-0.05, 0.05)
    return made.to(memory_format=torch.channels_last)


def frames(size: tuple[int, int], count: int = 2) -> Tensor:
    return torch.rand(count, 1, 1, *size, generator=torch.Generator().manual_seed(6))


@SIZES
@every_member
def test_shapes(size: tuple[int, int], scale: int, fold: int) -> None:
    height, width = (side * fold for side in size)
    output = network(scale=scale, fold=fold)(frames((height, width)))
    assert output.shape == (2, 1, scale * height, scale * width)
    assert output.dtype == torch.float32


@SIZES
def test_the_fused_path_equals_the_plain_one(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    if module._FUSED is None:
        pytest.skip("this torch has no fused convolution")
    used: list[str] = []
    fused: Callable[..., Tensor] = module._FUSED

    def watched(*args: object) -> Tensor:
        used.append("fused")
        return fused(*args)

    monkeypatch.setattr(module, "_FUSED", watched)
    made, x = network(), frames(size)
    plain = made(x)
    assert used == []  # training has gradients, which the fused path has not
    with torch.inference_mode():
        quick = made(x)
    assert len(used) == 3  # every layer but the last
    torch.testing.assert_close(quick, plain, atol=1e-5, rtol=1e-5)


@SIZES
def test_without_the_fused_operator_inference_is_the_same(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, x = network(), frames(size)
    with torch.inference_mode():
        quick = made(x)
        monkeypatch.setattr(module, "_FUSED", None)
        torch.testing.assert_close(made(x), quick, atol=1e-5, rtol=1e-5)


def test_bfloat16_is_close_to_float32() -> None:
    made, x = network(), frames((18, 32))
    exact = made(x)
    learnt = (exact - resize(x[:, 0], 4)).abs().max()  # what the skip does not give
    half = network().bfloat16()
    with torch.inference_mode():
        output = half(x)
    assert output.dtype == torch.float32
    error = (output - exact).abs().max()
    assert error < 0.02 * learnt + 1e-6
    assert 0 < error < 0.02


@SIZES
@every_member
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_without_its_last_layer_it_is_bicubic(
    size: tuple[int, int], scale: int, fold: int, dtype: torch.dtype
) -> None:
    made = network(scale=scale, fold=fold).to(dtype)
    made.body[-1].weight.zero_()
    made.body[-1].bias.zero_()
    x = frames((size[0] * fold, size[1] * fold))
    torch.testing.assert_close(made(x), resize(x[:, 0], scale), atol=1e-5, rtol=0)


@every_member
def test_fresh_it_is_near_bicubic_and_has_gradients(scale: int, fold: int) -> None:
    """A run starts where bicubic is, and every layer learns from the first step."""
    torch.manual_seed(7)
    made, x = Fast(features=8, layers=4, scale=scale, fold=fold), frames((12, 12))
    output = made(x)
    plain = resize(x[:, 0], scale)
    assert (output - plain).pow(2).mean() < plain.var() / 4
    (output - torch.rand_like(output)).pow(2).mean().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in made.parameters())


def test_the_skip_is_exact_where_training_runs_in_half_precision() -> None:
    """Rounded, its weights would not sum to 1, and training would make up for it."""
    network = Fast(features=8, layers=3, scale=4)
    network.body[-1].weight.data.zero_()
    frame = torch.rand(1, 1, 1, 12, 16, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        output = network(frame)
    torch.testing.assert_close(output, resize(frame[:, 0], 4))


@pytest.mark.parametrize("fold", [1, 2, 4])
def test_it_treats_every_fold_alike(fold: int) -> None:
    """What moves by whole folds comes out the same, moved."""
    made, x = network(scale=2, fold=fold), frames((24 * fold, 28 * fold), 1)
    moved = made(x.roll((fold, 2 * fold), (3, 4)))
    wanted = made(x).roll((2 * fold, 4 * fold), (2, 3))
    reach = 2 * fold * 4 + 4 * fold  # four layers see so far, and that much came around
    inside = (..., slice(reach, -reach), slice(reach, -reach))
    assert moved[inside].numel()
    torch.testing.assert_close(moved[inside], wanted[inside], atol=1e-5, rtol=0)


@pytest.mark.parametrize("fold", [1, 2])
def test_a_window_gives_the_image_of_its_reference(fold: int) -> None:
    frames = torch.rand(1, 3, 1, 12, 16, generator=torch.Generator().manual_seed(0))
    for lookahead in range(3):
        network = Fast(features=8, layers=3, window=3, lookahead=lookahead, fold=fold)
        network.body[-1].weight.data.zero_()
        torch.testing.assert_close(network(frames), resize(frames[:, 2 - lookahead], 4))
    with pytest.raises(ValueError, match="lookahead: got 3, allowed is 0 to 2"):
        Fast(window=3, lookahead=3)


def test_the_mean_of_an_image_is_kept() -> None:
    frame = torch.rand(2, 1, 1, 12, 16, generator=torch.Generator().manual_seed(0))
    plain = resize(frame[:, 0], 4).mean((1, 2, 3))
    for keep in (False, True):
        torch.manual_seed(5)
        made = Fast(features=8, layers=3, keep_mean=keep)
        made.body[-1].bias.data.fill_(0.1)
        kept = torch.allclose(made(frame).mean((1, 2, 3)), plain, atol=1e-5)
        assert kept == keep
