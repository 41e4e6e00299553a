"""What a model takes: parameters, and multiply-adds counted as it runs."""

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from streamsr.networks.contract import RecurrentNetwork
from streamsr.networks.facts import Facts
from streamsr.train.results import Cost

__all__ = ["cost_of"]

SIDE = 64  # pixels: what is counted on, large enough that borders hardly matter


def cost_of(network: nn.Module, facts: Facts) -> Cost:
    """Count convolutions and matrix products, the bicubic skip's with them, of one output."""
    like = next(network.parameters(), torch.empty(0))
    side = facts.multiple * -(-SIDE // facts.multiple)
    window = torch.zeros(1, facts.window, facts.colour.channels, side, side, device=like.device)
    # with gradients off, yet not in inference mode, where a fused operator is not counted
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        if isinstance(network, RecurrentNetwork):
            network(window, network.fresh(1, side, side))
        else:
            network(window)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return Cost(parameters, counter.get_total_flops() / 2 / side**2)
