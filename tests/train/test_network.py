"""Unrolling: every window's output once, and gradients that go back as far as they are to; growth:
what a network starts from goes on in it."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from streamsr.core.errors import ModelError
from streamsr.networks.facts import Colour, Facts
from streamsr.networks.fast import Fast
from streamsr.networks.int8 import runs_int8
from streamsr.networks.recurrent import Recurrent
from streamsr.networks.recurrent_int8 import Int8Recurrent
from streamsr.train.network import start_from, unrolled
from streamsr.zoo.card import Card, FactsCard, Weights
from streamsr.zoo.registry import Entry
from streamsr.zoo.weights import write_weights

FACTS = Facts(4, 2, 0, Colour.LUMA)


@pytest.fixture
def network() -> Recurrent:
    torch.manual_seed(4)
    made = Recurrent(features=8, layers=3, kept=4)
    with torch.no_grad():
        made.body[-1].weight.mul_(10)
    return made


def frames(count: int) -> Tensor:
    return torch.rand(2, count, 1, 12, 16, generator=torch.Generator().manual_seed(2))


def outputs(network: nn.Module, facts: Facts, clip: Tensor, truncate: int) -> Tensor:
    spans, parts = [], []
    for part, span in unrolled(network, facts, clip, truncate):
        spans += list(range(span.start, span.stop))
        parts.append(part)
    assert spans == list(range(clip.shape[1] - facts.window + 1))
    return torch.cat(parts, 1)


def test_a_sequence_is_what_a_stream_would_give(network: Recurrent) -> None:
    clip = frames(6)
    memory = network.fresh(2, 12, 16)
    made = outputs(network, FACTS, clip, 4)
    assert made.shape == (2, 5, 1, 48, 64)
    for number in range(5):
        output, memory = network(clip[:, number : number + 2], memory)
        torch.testing.assert_close(made[:, number], output)


@pytest.mark.parametrize("truncate", [1, 2, 3, 16])
def test_where_it_is_cut_changes_no_output(network: Recurrent, truncate: int) -> None:
    whole = outputs(network, FACTS, frames(8), 16)
    torch.testing.assert_close(outputs(network, FACTS, frames(8), truncate), whole)


def test_a_gradient_goes_back_no_further_than_its_part(network: Recurrent) -> None:
    clip = frames(7).requires_grad_(True)
    *_, (last, span) = unrolled(network, FACTS, clip, 4)
    assert span == slice(4, 6)
    last[:, -1].square().mean().backward()
    assert clip.grad is not None
    reached = clip.grad.flatten(2).abs().sum(2).gt(0).all(0)
    assert reached.tolist() == [False] * 4 + [True] * 3


def test_windows_without_a_memory_are_the_same_in_any_parts() -> None:
    torch.manual_seed(1)
    network = Fast(features=8, layers=3, window=3, lookahead=1).requires_grad_(False)
    facts = Facts(4, 3, 1, Colour.LUMA)
    clip = frames(7)
    whole = outputs(network, facts, clip, 16)
    assert whole.shape == (2, 5, 1, 48, 64)
    torch.testing.assert_close(outputs(network, facts, clip, 2), whole)
    torch.testing.assert_close(whole[:, 3], network(clip[:, 3:6]))


def trained(folder: Path, network: Fast | Recurrent, **options: int) -> Entry:
    """The model of a network whose weights are as if they were trained."""
    kind = "fast" if isinstance(network, Fast) else "recurrent"
    torch.manual_seed(6)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.2)
    facts = FactsCard(
        scale=network.scale,
        window=options.get("window", 1 if kind == "fast" else 2),
        lookahead=0,
        colour=Colour.LUMA,
        multiple=network.fold,
    )
    weights = Weights(sha256=write_weights(folder / "weights.safetensors", network))
    card = Card(description="tiny", network=kind, options={**options}, facts=facts, weights=weights)
    return Entry("tiny", folder, card)


def detail(network: Fast, clip: Tensor) -> Tensor:
    """What a network adds to bicubic, which leaves a flat image as it is; without the borders."""
    added = network(clip) - clip[0, 0, 0, 0, 0]
    side = 12 * network.scale
    return added[..., side:-side, side:-side].detach()


def flat(level: float) -> Tensor:
    return torch.full((1, 1, 1, 32, 40), level)


def test_a_wider_and_deeper_network_starts_as_what_it_grew_from(tmp_path: Path) -> None:
    small = Fast(8, 3)
    entry = trained(tmp_path, small, features=8, layers=3)
    large = Fast(12, 5, window=3)
    start_from(large, entry)
    clip = frames(3)
    torch.testing.assert_close(large(clip), small(clip[:, 2:]))


@pytest.mark.parametrize(("scale", "fold", "share"), [(4, 2, 1.0), (2, 2, 0.2), (1, 4, 0.2)])
def test_between_scales_and_folds_the_mean_of_the_detail_stays(
    tmp_path: Path, scale: int, fold: int, share: float
) -> None:
    """A fifth of it between scales."""
    small = Fast(8, 3)
    entry = trained(tmp_path, small, features=8, layers=3)
    other = Fast(8, 3, scale=scale, fold=fold)
    start_from(other, entry)
    for level in (0.2, 0.7):
        wanted = share * detail(small, flat(level)).mean()
        assert abs(wanted) > 1e-3
        torch.testing.assert_close(detail(other, flat(level)).mean(), wanted)


def test_a_recurrent_network_grows_to_another_fold(tmp_path: Path) -> None:
    """Of a flat image it keeps the same features."""
    small = Recurrent(8, 3, kept=4)
    entry = trained(tmp_path, small, features=8, layers=3, kept=4)
    other = Recurrent(8, 4, kept=4, fold=2)
    start_from(other, entry)
    still = torch.full((1, 2, 1, 64, 80), 0.6)
    kept = []
    for network in (small, other):
        _, (_, features, _) = network(still, network.fresh(1, *still.shape[3:]))
        kept.append(features[..., 8:-8, 8:-8].mean((2, 3)))
    assert kept[0].max() > 0.01
    torch.testing.assert_close(kept[1], kept[0])


def test_a_network_of_one_frame_starts_as_a_recurrent_ones_first(tmp_path: Path) -> None:
    recurrent = Recurrent(8, 3, kept=4)
    entry = trained(tmp_path, recurrent, features=8, layers=3, kept=4)
    single = Fast(8, 3)
    start_from(single, entry)
    clip = frames(1)
    first, _ = recurrent(clip.repeat(1, 2, 1, 1, 1), recurrent.fresh(2, 12, 16))
    difference = (single(clip) - first)[..., 16:-16, 16:-16]
    assert difference.mean((2, 3)).abs().max() > 1e-4  # the recurrent one keeps bicubic's
    assert difference.std((2, 3)).max() < 1e-5


def test_what_cannot_go_on_is_refused(tmp_path: Path) -> None:
    entry = trained(tmp_path, Fast(8, 4, window=3), features=8, layers=4, window=3)
    for smaller, because in (
        (Fast(8, 3, window=3), "more layers or features"),
        (Fast(8, 4), "its window is longer"),
        (Recurrent(8, 4, kept=4), "it has no memory"),
    ):
        with pytest.raises(ModelError, match=f"the model's network is another: .*{because}"):
            start_from(smaller, entry)
    card = entry.card.model_copy(update={"weights": None})
    with pytest.raises(ModelError, match="no weights to start from"):
        start_from(Fast(8, 4, window=3), Entry("tiny", tmp_path, card))


@pytest.mark.skipif(not runs_int8(), reason="this CPU has no AVX2")
def test_a_network_in_integers_is_unrolled_as_the_one_it_was_made_of() -> None:
    torch.manual_seed(0)
    network = Recurrent(features=16, layers=3, kept=8).eval()
    frames = (torch.rand(1, 5, 1, 24, 32) * 255).round() / 255
    with torch.inference_mode():
        facts = Facts(4, 2, 0, Colour.LUMA)
        ((ours, _),) = unrolled(Int8Recurrent(network), facts, frames, 4)
        ((floats, _),) = unrolled(network, facts, frames, 4)
    torch.testing.assert_close(ours, floats.clamp(0, 1), atol=0.03, rtol=0)
