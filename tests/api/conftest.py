"""A model whose images wait for others, imported as a program would."""

import pytest
import torch

import streamsr
from streamsr.networks.edvr import EDVR

TINY = {
    "num_feat": 8,
    "num_frame": 3,
    "deformable_groups": 2,
    "num_extract_block": 1,
    "num_reconstruct_block": 1,
}


@pytest.fixture(scope="session")
def waiting(tmp_path_factory: pytest.TempPathFactory) -> streamsr.Model:
    """An EDVR of three frames and random weights: an image waits for the next one."""
    folder = tmp_path_factory.mktemp("imported")
    torch.manual_seed(0)
    torch.save({"params": EDVR(**TINY).state_dict()}, folder / "checkpoint.pth")
    return streamsr.import_model(folder / "checkpoint.pth", "tiny", folder / "models")
