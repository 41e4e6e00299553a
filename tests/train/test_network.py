"""Unrolling: every window's output once, and gradients that go back as far as they are to."""

import pytest
import torch
from torch import Tensor, nn

from streamsr.networks.facts import Colour, Facts
from streamsr.networks.fast import Fast
from streamsr.networks.recurrent import Recurrent
from streamsr.train.network import unrolled

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
