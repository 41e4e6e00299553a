"""Plain scaling of a whole frame: what it becomes where the network has no picture for it.

Always on the CPU: it stands in for a device that may be full or broken.
"""

from dataclasses import replace

import torch

from streamsr.engine.colour import network_input, network_output
from streamsr.frame import Frame
from streamsr.networks.contract import Facts
from streamsr.networks.resample import resize

__all__ = ["scaled_plainly"]


def scaled_plainly(frame: Frame, facts: Facts) -> Frame:
    """``frame`` enlarged by the bicubic filter, to the size that the network would give."""
    with torch.inference_mode():
        pixels = network_input(frame, facts.colour, torch.device("cpu"))
        output = resize(pixels, facts.scale)
        planes = network_output(output, frame, facts.colour, facts.scale)
    return replace(frame, planes=planes)
