"""Importing checkpoints: every naming, every wrapper, and the files that must not come in."""

import argparse
import os
import pickle
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from streamsr.core.config import dump, load
from streamsr.core.errors import ModelError
from streamsr.networks.edvr import EDVR
from streamsr.networks.facts import Colour, Facts
from streamsr.zoo.card import Card, FactsCard, Origin, Weights
from streamsr.zoo.convert import import_checkpoint
from streamsr.zoo.loading import load_model
from streamsr.zoo.registry import find

Tensors = dict[str, Tensor]

TINY = {
    "num_feat": 8,
    "num_frame": 3,
    "deformable_groups": 2,
    "num_extract_block": 1,
    "num_reconstruct_block": 2,
}

# Modules by their names here and there; those that are not listed have the same name.
RELEASE_2019 = """
predeblur.conv_first          pre_deblur.conv_first
predeblur.stride_conv_l2      pre_deblur.deblur_L2_conv
predeblur.stride_conv_l3      pre_deblur.deblur_L3_conv
predeblur.resblock_l3         pre_deblur.RB_L3_1
predeblur.resblock_l2_1       pre_deblur.RB_L2_1
predeblur.resblock_l2_2       pre_deblur.RB_L2_2
predeblur.resblock_l1.0       pre_deblur.RB_L1_1
predeblur.resblock_l1.1       pre_deblur.RB_L1_2
predeblur.resblock_l1.2       pre_deblur.RB_L1_3
predeblur.resblock_l1.3       pre_deblur.RB_L1_4
predeblur.resblock_l1.4       pre_deblur.RB_L1_5
conv_l2_1                     fea_L2_conv1
conv_l2_2                     fea_L2_conv2
conv_l3_1                     fea_L3_conv1
conv_l3_2                     fea_L3_conv2
pcd_align.offset_conv1.l3     pcd_align.L3_offset_conv1
pcd_align.offset_conv2.l3     pcd_align.L3_offset_conv2
pcd_align.dcn_pack.l3.conv_offset  pcd_align.L3_dcnpack.conv_offset_mask
pcd_align.dcn_pack.l3         pcd_align.L3_dcnpack
pcd_align.offset_conv1.l2     pcd_align.L2_offset_conv1
pcd_align.offset_conv2.l2     pcd_align.L2_offset_conv2
pcd_align.offset_conv3.l2     pcd_align.L2_offset_conv3
pcd_align.dcn_pack.l2.conv_offset  pcd_align.L2_dcnpack.conv_offset_mask
pcd_align.dcn_pack.l2         pcd_align.L2_dcnpack
pcd_align.feat_conv.l2        pcd_align.L2_fea_conv
pcd_align.offset_conv1.l1     pcd_align.L1_offset_conv1
pcd_align.offset_conv2.l1     pcd_align.L1_offset_conv2
pcd_align.offset_conv3.l1     pcd_align.L1_offset_conv3
pcd_align.dcn_pack.l1.conv_offset  pcd_align.L1_dcnpack.conv_offset_mask
pcd_align.dcn_pack.l1         pcd_align.L1_dcnpack
pcd_align.feat_conv.l1        pcd_align.L1_fea_conv
pcd_align.cas_dcnpack.conv_offset  pcd_align.cas_dcnpack.conv_offset_mask
fusion.temporal_attn1         tsa_fusion.tAtt_2
fusion.temporal_attn2         tsa_fusion.tAtt_1
fusion.feat_fusion            tsa_fusion.fea_fusion
fusion.spatial_attn1          tsa_fusion.sAtt_1
fusion.spatial_attn2          tsa_fusion.sAtt_2
fusion.spatial_attn3          tsa_fusion.sAtt_3
fusion.spatial_attn4          tsa_fusion.sAtt_4
fusion.spatial_attn5          tsa_fusion.sAtt_5
fusion.spatial_attn_l1        tsa_fusion.sAtt_L1
fusion.spatial_attn_l2        tsa_fusion.sAtt_L2
fusion.spatial_attn_l3        tsa_fusion.sAtt_L3
fusion.spatial_attn_add1      tsa_fusion.sAtt_add_1
fusion.spatial_attn_add2      tsa_fusion.sAtt_add_2
fusion                        tsa_fusion
reconstruction                recon_trunk
conv_hr                       HRconv
"""
RELEASE_2019_HR = (
    RELEASE_2019
    + """
predeblur.conv_first          pre_deblur.conv_first_1
predeblur.stride_conv_hr1     pre_deblur.conv_first_2
predeblur.stride_conv_hr2     pre_deblur.conv_first_3
"""
)
MMAGIC = """
conv_l2_1                     feat_l2_conv1.conv
conv_l2_2                     feat_l2_conv2.conv
conv_l3_1                     feat_l3_conv1.conv
conv_l3_2                     feat_l3_conv2.conv
pcd_align.offset_conv1.l3     pcd_alignment.offset_conv1.l3.conv
pcd_align.offset_conv2.l3     pcd_alignment.offset_conv2.l3.conv
pcd_align.dcn_pack.l3         pcd_alignment.dcn_pack.l3
pcd_align.offset_conv1.l2     pcd_alignment.offset_conv1.l2.conv
pcd_align.offset_conv2.l2     pcd_alignment.offset_conv2.l2.conv
pcd_align.offset_conv3.l2     pcd_alignment.offset_conv3.l2.conv
pcd_align.dcn_pack.l2         pcd_alignment.dcn_pack.l2
pcd_align.feat_conv.l2        pcd_alignment.feat_conv.l2.conv
pcd_align.offset_conv1.l1     pcd_alignment.offset_conv1.l1.conv
pcd_align.offset_conv2.l1     pcd_alignment.offset_conv2.l1.conv
pcd_align.offset_conv3.l1     pcd_alignment.offset_conv3.l1.conv
pcd_align.dcn_pack.l1         pcd_alignment.dcn_pack.l1
pcd_align.feat_conv.l1        pcd_alignment.feat_conv.l1.conv
pcd_align.cas_offset_conv1    pcd_alignment.cas_offset_conv1.conv
pcd_align.cas_offset_conv2    pcd_alignment.cas_offset_conv2.conv
pcd_align.cas_dcnpack         pcd_alignment.cas_dcnpack
fusion.feat_fusion            fusion.feat_fusion.conv
fusion.spatial_attn1          fusion.spatial_attn1.conv
fusion.spatial_attn2          fusion.spatial_attn2.conv
fusion.spatial_attn3          fusion.spatial_attn3.conv
fusion.spatial_attn4          fusion.spatial_attn4.conv
fusion.spatial_attn_l1        fusion.spatial_attn_l1.conv
fusion.spatial_attn_l2        fusion.spatial_attn_l2.conv
fusion.spatial_attn_l3        fusion.spatial_attn_l3.conv
fusion.spatial_attn_add1      fusion.spatial_attn_add1.conv
upconv1                       upsample1.upsample_conv
upconv2                       upsample2.upsample_conv
"""


def named(tensors: Tensors, table: str) -> Tensors:
    """Name tensors as the table's second column does, the longest prefix of its first found."""
    there = dict(line.split() for line in table.split("\n") if line)
    renamed = {renamed_as(there, name): tensor for name, tensor in tensors.items()}
    assert len(renamed) == len(tensors)
    return renamed


def renamed_as(there: dict[str, str], name: str) -> str:
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        module = ".".join(parts[:cut])
        if module in there:
            return ".".join([there[module], *parts[cut:]])
    return name


def weights(**options: Any) -> Tensors:
    torch.manual_seed(0)
    network = EDVR(**{**TINY, **options})
    return {name: torch.randn(tensor.shape) for name, tensor in network.state_dict().items()}


def saved(folder: Path, data: Any, name: str = "net.pth") -> Path:
    torch.save(data, folder / name)
    return folder / name


def imported(path: Path, **settings: Any) -> Path:
    return import_checkpoint(path, path.parent / "models", "m", **settings)


def assert_holds(model: Path, expected: Tensors) -> None:
    """The model loads as any other, and its weights are these."""
    network = load_model(find(str(model)), torch.device("cpu"), "float32").network
    found = network.state_dict()
    assert found.keys() == expected.keys()
    for name, tensor in found.items():
        assert torch.equal(tensor, expected[name]), name


def refused(path: Path, message: str, **settings: Any) -> None:
    """The import fails with one line that names the file, and leaves nothing behind."""
    with pytest.raises(ModelError, match=message) as caught:
        imported(path, **settings)
    assert "\n" not in str(caught.value)
    assert path.name in str(caught.value)
    models = path.parent / "models"
    assert not models.exists() or not any(models.iterdir())


@pytest.mark.parametrize(
    ("table", "options"),
    [
        ("", {}),
        ("", {"with_tsa": False}),
        ("", {"with_predeblur": True}),
        ("", {"with_predeblur": True, "hr_in": True}),
        (MMAGIC, {}),
        (MMAGIC, {"with_tsa": False}),
        (RELEASE_2019, {}),
        (RELEASE_2019, {"with_tsa": False}),
        (RELEASE_2019, {"with_predeblur": True}),
        (RELEASE_2019_HR, {"with_predeblur": True, "hr_in": True}),
        (RELEASE_2019.replace("tsa_fusion", "fusion"), {}),
    ],
)
def test_every_naming(tmp_path: Path, table: str, options: dict[str, Any]) -> None:
    tensors = weights(**options)
    model = imported(saved(tmp_path, named(tensors, table)))
    assert model == tmp_path / "models" / "m"
    assert_holds(model, tensors)
    facts = {"with_tsa": True, "with_predeblur": False, "hr_in": False}
    assert find(str(model)).card.options == {**TINY, **facts, **options}


@pytest.mark.parametrize(
    "options",
    [
        {"num_frame": 5, "num_extract_block": 3, "num_reconstruct_block": 12},
        {"num_frame": 7, "num_feat": 6, "deformable_groups": 6, "with_tsa": False},
        {"num_feat": 12, "deformable_groups": 1, "num_extract_block": 0},
    ],
)
def test_every_size(tmp_path: Path, options: dict[str, Any]) -> None:
    tensors = weights(**options)
    model = imported(saved(tmp_path, tensors))
    assert_holds(model, tensors)
    card = find(str(model)).card
    assert card.family == "m"
    assert card.options.items() >= options.items()
    window = options.get("num_frame", 3)
    assert card.facts.facts() == Facts(4, window, window // 2, Colour.RGB, 4)


def test_a_deblurring_model_keeps_the_size(tmp_path: Path) -> None:
    model = imported(saved(tmp_path, weights(with_predeblur=True, hr_in=True)))
    assert find(str(model)).facts == Facts(1, 3, 1, Colour.RGB, 16)


def other(tensors: Tensors) -> Tensors:
    return {name: tensor + 1 for name, tensor in tensors.items()}


def prefixed(prefix: str, tensors: Tensors) -> Tensors:
    return {prefix + name: tensor for name, tensor in tensors.items()}


WRAPPERS = {
    "params": lambda t: {"params": t},
    "params_ema": lambda t: {"params": other(t), "params_ema": t},
    "state_dict": lambda t: {"meta": {"epoch": 1, "time": "now"}, "state_dict": t},
    "module": lambda t: prefixed("module.", t),
    "params, module": lambda t: {"params": prefixed("module.", t)},
    "generator": lambda t: {
        "state_dict": {
            **prefixed("generator_ema.", other(t)),
            **prefixed("generator.", named(t, MMAGIC)),
            "step_counter": torch.tensor(7),
        }
    },
    "module, generator": lambda t: prefixed("module.generator.", t),
    "net_g": lambda t: {"epoch": 3, "net_g": t, "net_d": {"a": torch.zeros(1)}},
    "model": lambda t: {"model": {"params": t}, "optimizer": {"state": {}}},
    "model_state_dict": lambda t: {"model_state_dict": prefixed("_orig_mod.", t), "step": 7},
    "a lightning module": lambda t: {
        "state_dict": prefixed("model.net_g.", t) | {"loss.weight": torch.zeros(2)},
        "pytorch-lightning_version": "2.5.0",
        "hyper_parameters": {"lr": 1e-4},
    },
    "an average of another form": lambda t: {"ema": {"shadow_params": [1]}, "params": t},
    "ema_state_dict": lambda t: {"state_dict": other(t), "ema_state_dict": t},
    "settings as objects": lambda t: {
        "state_dict": prefixed("model.", t),
        "hyper_parameters": argparse.Namespace(lr=1e-4, folder=Path("clips")),
        "best": np.float64(31.5),
        "curve": np.arange(3.0),
        "counts": defaultdict(int, step=7),
    },
    "float16": lambda t: {name: tensor.half() for name, tensor in t.items()},
    "parameters": lambda t: {name: torch.nn.Parameter(tensor) for name, tensor in t.items()},
}


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_every_wrapper(tmp_path: Path, wrapper: str) -> None:
    tensors = {name: tensor.half().float() for name, tensor in weights().items()}
    assert_holds(imported(saved(tmp_path, WRAPPERS[wrapper](tensors))), tensors)


def test_safetensors_pt_and_ckpt_are_read_too(tmp_path: Path) -> None:
    tensors = weights()
    torch.save({"state_dict": prefixed("net.", tensors)}, tmp_path / "c.ckpt")
    save_file(named(tensors, MMAGIC), tmp_path / "a.safetensors")
    torch.save(tensors, tmp_path / "b.pt", _use_new_zipfile_serialization=False)
    torch.save(tensors, tmp_path / "d.pth.tar")
    torch.save(tensors, tmp_path / "e.PTH")
    for name in ("a.safetensors", "b.pt", "c.ckpt", "d.pth.tar", "e.PTH"):
        assert_holds(import_checkpoint(tmp_path / name, tmp_path / "models"), tensors)
    assert sorted(p.name for p in (tmp_path / "models").iterdir()) == [*"abcde"]


def test_the_card_says_where_it_comes_from(tmp_path: Path) -> None:
    path = saved(tmp_path, weights(), "net-1.pth")
    model = import_checkpoint(path, tmp_path / "models")
    assert model.name == "net-1"
    assert "'net-1.pth'" in find(str(model)).card.description


class Bomb:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("form", ["zip", "legacy", "plain pickle", "beside the weights"])
def test_a_pickle_that_would_run_code_runs_none(tmp_path: Path, form: str) -> None:
    mark, path = tmp_path / "mark", tmp_path / "net.pth"
    bomb: Any = Bomb(mark)
    if form == "plain pickle":
        path.write_bytes(pickle.dumps(bomb))
    else:
        settings = argparse.Namespace(lr=1)  # which are passed over, and let nothing else in
        beside = {**weights(), "extra": bomb, "settings": settings}
        data = beside if form == "beside the weights" else bomb
        torch.save(data, path, _use_new_zipfile_serialization=form != "legacy")
    refused(path, "is damaged, or holds more than tensors and plain values; nothing of it was run")
    assert not mark.exists()
    with path.open("rb") as file:
        if form == "plain pickle":
            pickle.load(file)
            assert mark.exists(), "the bomb is a dud"


@pytest.mark.parametrize("left", [0, 1, 10, 1000, 0.5, 0.99])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("form", ["zip", "legacy"])
def test_a_truncated_file(tmp_path: Path, left: float, suffix: str, form: str) -> None:
    path = tmp_path / f"net{suffix}"
    if suffix == ".pth":
        torch.save(weights(), path, _use_new_zipfile_serialization=form == "zip")
    else:
        save_file(weights(), path)
    data = path.read_bytes()
    path.write_bytes(data[: int(left if left >= 1 else left * len(data))])
    refused(path, "is damaged")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"not found\n" * 100, "is damaged"),
        (b"\n<!DOCTYPE html><title>404</title>" * 100, "is a web page: .* was not downloaded"),
        (b"<HTML><title>404</title>", "is a web page: .* was not downloaded"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "`git lfs pull` fetches"),
    ],
)
def test_a_file_of_something_else(
    tmp_path: Path, suffix: str, content: bytes, message: str
) -> None:
    path = tmp_path / f"net{suffix}"
    path.write_bytes(content)
    refused(path, message)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    refused(tmp_path / "net.pth", "cannot be read: No such file or directory")
    (tmp_path / "folder.pth").mkdir()
    refused(tmp_path / "folder.pth", "cannot be read: Is a directory")


@pytest.mark.parametrize("suffix", [".onnx", ""])
def test_other_formats(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"net{suffix}"
    path.write_bytes(b"")
    refused(path, r"got a .* file, allowed: .pth, .pt, .ckpt, .pth.tar, .safetensors")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([1, 2], "holds a list, allowed are named tensors"),
        (torch.zeros(3), "holds a Tensor, allowed are named tensors"),
        ({1: torch.zeros(3)}, "holds a dict, allowed are named tensors"),
        ({}, "is not of an EDVR: it has no conv_first.weight"),
        ({"conv_first.weight": torch.zeros(8)}, "is not of an EDVR: it has no conv_first.weight"),
        ({"body.0.weight": torch.zeros(8, 3, 3, 3)}, "is not of an EDVR"),
        ({"conv_first.weight": "a string"}, "'conv_first.weight' is a str, allowed is a tensor"),
    ],
)
def test_not_an_edvr(tmp_path: Path, data: Any, message: str) -> None:
    refused(saved(tmp_path, data), message)


HUGE = torch.zeros(1).expand(10**6, 10**6, 3, 3)

CHANGES = [
    ({"conv_hr.bias": torch.zeros(63)}, r"conv_hr.bias: got shape \[63\], allowed is \[64\]"),
    ({"conv_l2_1.weight": torch.zeros(8, 4, 3, 3)}, r"conv_l2_1.weight: got shape \[8, 4, 3, 3\]"),
    ({"conv_l2_1.weight": HUGE}, r"conv_l2_1.weight: got shape \[1000000"),
    ({"conv_first.weight": HUGE}, "num_feat: got 1000000, allowed are 1 to 256"),
    ({"conv_first.weight": torch.zeros(8, 1, 3, 3)}, "channels of a frame: got 1, allowed is 3"),
    ({"fusion.feat_fusion.weight": torch.zeros(8, 32, 1, 1)}, "num_frame: got 4, allowed are odd"),
    (
        {"pcd_align.cas_dcnpack.conv_offset.weight": torch.zeros(81, 8, 3, 3)},
        "deformable_groups: got 3, allowed is a divisor",
    ),
    ({"conv_hr.bias": torch.full((64,), float("nan"))}, "conv_hr.bias holds values that are not"),
    ({"conv_hr.bias": torch.full((64,), float("inf"))}, "conv_hr.bias holds values that are not"),
    ({"conv_hr.bias": torch.full((64,), 1e300, dtype=torch.float64)}, "values that are not finite"),
    ({"conv_hr.bias": torch.zeros(64, dtype=torch.int64)}, "got a tensor of torch.int64"),
    ({"conv_hr.bias": torch.zeros(64).to_sparse()}, "allowed are dense floats"),
    ({"conv_hr.bias": torch.zeros(64, device="meta")}, "allowed are dense floats"),
    ({"HRconv.bias": torch.zeros(64)}, "two tensors are named 'conv_hr.bias'"),
    (
        {f"extra.{n}": torch.zeros(1) for n in range(5)},
        r"5 tensors are unknown: 'extra.0', 'extra.1', 'extra.2', …",
    ),
    ({"reconstruction.7.conv1.bias": torch.zeros(8)}, "1 tensors are unknown: 'reconstruction.7."),
    ({"step_counter": torch.tensor(3)}, "unknown: 'step_counter'"),
]


@pytest.mark.parametrize(("change", "message"), CHANGES)
def test_tensors_that_do_not_fit(tmp_path: Path, change: Tensors, message: str) -> None:
    refused(saved(tmp_path, {**weights(), **change}), message)


def test_tensors_that_are_missing(tmp_path: Path) -> None:
    tensors = weights()
    del tensors["conv_hr.bias"], tensors["fusion.spatial_attn3.weight"]
    message = "2 tensors are missing: 'conv_hr.bias', 'fusion.spatial_attn3.weight'$"
    refused(saved(tmp_path, tensors), message)


def test_a_model_is_never_overwritten(tmp_path: Path) -> None:
    path, folder = saved(tmp_path, weights()), tmp_path / "models" / "m"
    folder.mkdir(parents=True)
    with pytest.raises(ModelError, match="is there already"):
        imported(path)
    assert not any(folder.iterdir())


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    path = saved(tmp_path, weights())
    (tmp_path / "file").touch()
    with pytest.raises(ModelError, match="cannot be written"):
        import_checkpoint(path, tmp_path / "file", "m")


@pytest.mark.parametrize("name", ["", ".", "a/b", "../m", "a.b", "ä", "m\n"])
def test_a_models_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelError, match=r"model name: got .*, allowed are letters, digits"):
        import_checkpoint(saved(tmp_path, weights()), tmp_path / "models", name)
    assert not (tmp_path / "models").exists()


def test_a_card_comes_back_as_it_was_written(tmp_path: Path) -> None:
    awkward = 'a "quoted" \\ back\\u0041slash\nnew\tline \x7f \x00 \x1b é 🎞 = # [x]'
    card = Card(
        description=awkward,
        network="edvr",
        options={"with_tsa": True, "hr_in": False, "num_feat": 64, "kernel": awkward},
        precision="bfloat16",
        facts=FactsCard(scale=4, window=5, lookahead=2, colour=Colour.RGB, multiple=4),
        weights=Weights(sha256="0" * 64),
        origin=Origin(trained_on=awkward),
        figures={"PSNR, Vid4 (Y)": "27.10 dB", awkward: "", "plain-key": "1"},
    )
    bare = Card(description="", network="resample", facts=card.facts)
    for original in (card, bare):
        dump(original, tmp_path / "card.toml")
        assert load(tmp_path / "card.toml", Card) == original
