"""Importing EDVR checkpoints of other projects: a pickle in, a model folder out, offline.

Knows the names that BasicSR, mmagic and the release of 2019 gave the same layers, and reads the
network's options off names and shapes.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from streamsr.core.errors import ModelError
from streamsr.networks.edvr import EDVR
from streamsr.networks.facts import Colour
from streamsr.zoo.card import Card, FactsCard
from streamsr.zoo.checkpoints import read_checkpoint
from streamsr.zoo.new_model import write_model
from streamsr.zoo.registry import folder_of_new

__all__ = ["import_checkpoint"]

Tensors = dict[str, Tensor]

WRAPPERS = (
    *("params_ema", "net_g_ema", "model_ema", "ema_state_dict", "state_dict_ema", "ema"),
    *("params", "net_g", "generator"),
    *("model_state_dict", "state_dict", "model", "network", "net", "weights"),
)
"""Where the tensors are when they are not at the top, in one another too, the better ones first."""

ANCHOR = re.compile(r"^(.*?)pcd_align(ment)?\.")
"""What every EDVR has, after the names of the modules that training put around it."""

RENAMES = (
    # mmagic
    (r"^feat_l([23])_conv([12])\.", r"conv_l\1_\2."),
    (r"^pcd_alignment\.", "pcd_align."),
    (r"^upsample([12])\.upsample_conv\.", r"upconv\1."),
    (r"\.conv\.(weight|bias)$", r".\1"),
    # the release of 2019
    (r"^pre_deblur\.conv_first(_1)?\.", "predeblur.conv_first."),
    (r"^pre_deblur\.conv_first_2\.", "predeblur.stride_conv_hr1."),
    (r"^pre_deblur\.conv_first_3\.", "predeblur.stride_conv_hr2."),
    (r"^pre_deblur\.deblur_L([23])_conv\.", r"predeblur.stride_conv_l\1."),
    (r"^pre_deblur\.RB_L3_1\.", "predeblur.resblock_l3."),
    (r"^pre_deblur\.RB_L2_([12])\.", r"predeblur.resblock_l2_\1."),
    *((rf"^pre_deblur\.RB_L1_{n + 1}\.", f"predeblur.resblock_l1.{n}.") for n in range(5)),
    (r"^fea_L([23])_conv([12])\.", r"conv_l\1_\2."),
    (r"^pcd_align\.L([123])_offset_conv([123])\.", r"pcd_align.offset_conv\2.l\1."),
    (r"^pcd_align\.L([123])_dcnpack\.", r"pcd_align.dcn_pack.l\1."),
    (r"^pcd_align\.L([12])_fea_conv\.", r"pcd_align.feat_conv.l\1."),
    (r"\.conv_offset_mask\.", ".conv_offset."),
    (r"^tsa_fusion\.", "fusion."),
    (r"^fusion\.tAtt_2\.", "fusion.temporal_attn1."),  # there 2 was the centre's
    (r"^fusion\.tAtt_1\.", "fusion.temporal_attn2."),
    (r"^fusion\.fea_fusion\.", "fusion.feat_fusion."),
    (r"^fusion\.sAtt_([1-5])\.", r"fusion.spatial_attn\1."),
    (r"^fusion\.sAtt_L([123])\.", r"fusion.spatial_attn_l\1."),
    (r"^fusion\.sAtt_add_([12])\.", r"fusion.spatial_attn_add\1."),
    (r"^recon_trunk\.", "reconstruction."),
    (r"^HRconv\.", "conv_hr."),
)
"""Pattern and replacement, applied one after the other; BasicSR's own names match none of them."""

LIMITS = {
    "num_feat": 256,
    "num_frame": 31,
    "deformable_groups": 64,
    "num_extract_block": 100,
    "num_reconstruct_block": 100,
}
"""Larger than any published network; a hostile file that states more is refused."""


def import_checkpoint(path: Path, destination: Path, name: str | None = None) -> Path:
    """Makes the model folder ``destination / name`` of an EDVR checkpoint; returns its path.

    ``path`` is a ``.pth``, ``.pt``, ``.ckpt``, ``.pth.tar`` or ``.safetensors`` file; ``name`` is
    its stem unless stated, and that of its family.
    The weights become float32. Raises ModelError, in one line, where the file cannot be read,
    holds anything but finite tensors that fit an EDVR, or where the folder is there already.
    """
    folder = folder_of_new(_stem(path) if name is None else name, destination)
    try:
        tensors = _renamed(_unwrapped(read_checkpoint(path)))
        options = _options(tensors)
        network = _network(tensors, options)
    except ModelError as error:
        raise ModelError(f"checkpoint {path}: {error}") from None
    facts = FactsCard(
        scale=1 if network.hr_in else 4,
        window=network.num_frame,
        lookahead=network.num_frame // 2,
        colour=Colour.RGB,
        multiple=16 if network.hr_in else 4,
    )
    description = f"EDVR, imported from {path.name!r}"
    card = Card(
        description=description,
        family=folder.name,
        network="edvr",
        options=options,
        facts=facts,
        precision="bfloat16",
    )
    write_model(folder, network, card)
    return folder


def _unwrapped(data: Any) -> dict[str, Any]:
    """Named tensors without the prefix of what held the network in training: of several networks,
    as a restorer's, of the EDVR with the shortest prefix."""
    while isinstance(data, Mapping):
        inner = [data[name] for name in WRAPPERS if isinstance(data.get(name), Mapping)]
        if not inner:
            break
        data = next(filter(_holds_edvr, inner), inner[0])
    if not isinstance(data, Mapping) or not all(isinstance(key, str) for key in data):
        raise ModelError(f"holds a {type(data).__name__}, allowed are named tensors")
    prefixes = {found[1] for name in data if (found := ANCHOR.match(name))}
    prefix = min(prefixes, key=len, default="")
    return {name.removeprefix(prefix): data[name] for name in data if name.startswith(prefix)}


def _holds_edvr(data: Mapping[Any, Any]) -> bool:
    """Whether an EDVR's tensors are in it, or in what it wraps."""
    inner = (data[name] for name in WRAPPERS if isinstance(data.get(name), Mapping))
    return any(ANCHOR.match(str(name)) for name in data) or any(map(_holds_edvr, inner))


def _stem(path: Path) -> str:
    return Path(path.name.removesuffix(".tar")).stem


def _renamed(data: Mapping[str, Any]) -> Tensors:
    """Gives every tensor BasicSR's name."""
    tensors: Tensors = {}
    for old, value in data.items():
        name = old
        for pattern, replacement in RENAMES:
            name = re.sub(pattern, replacement, name)
        if name in tensors:
            raise ModelError(f"two tensors are named {name!r}")
        if not isinstance(value, Tensor):
            raise ModelError(f"{old!r} is a {type(value).__name__}, allowed is a tensor")
        tensors[name] = value
    return tensors


def _options(tensors: Tensors) -> dict[str, bool | int | float | str]:
    """The constructor's options, off names and shapes; the rest are its defaults."""
    predeblur = "predeblur.conv_first.weight" in tensors
    tsa = "fusion.feat_fusion.weight" in tensors
    first = _shape(tensors, "predeblur.conv_first.weight" if predeblur else "conv_first.weight")
    fusion = _shape(tensors, "fusion.feat_fusion.weight" if tsa else "fusion.weight")
    offsets = _shape(tensors, "pcd_align.cas_dcnpack.conv_offset.weight")
    counts = {
        "num_feat": first[0],
        "num_frame": fusion[1] // max(fusion[0], 1),
        "deformable_groups": offsets[0] // 27,
        "num_extract_block": _blocks(tensors, "feature_extraction"),
        "num_reconstruct_block": _blocks(tensors, "reconstruction"),
    }
    for name, count in counts.items():
        least = 0 if name.endswith("block") else 1
        if not least <= count <= LIMITS[name]:
            raise ModelError(f"{name}: got {count}, allowed are {least} to {LIMITS[name]}")
    if counts["num_frame"] % 2 == 0:
        raise ModelError(f"num_frame: got {counts['num_frame']}, allowed are odd numbers")
    if first[1] != 3:
        raise ModelError(f"channels of a frame: got {first[1]}, allowed is 3")
    hr_in = "predeblur.stride_conv_hr1.weight" in tensors
    return {**counts, "hr_in": hr_in, "with_predeblur": predeblur, "with_tsa": tsa}


def _shape(tensors: Tensors, name: str) -> torch.Size:
    if name not in tensors or tensors[name].dim() != 4:
        raise ModelError(f"is not of an EDVR: it has no {name} of 4 dimensions")
    return tensors[name].shape


def _blocks(tensors: Tensors, stage: str) -> int:
    return len({name.split(".")[1] for name in tensors if name.startswith(f"{stage}.")})


def _network(tensors: Tensors, options: Mapping[str, Any]) -> EDVR:
    """The network of ``options`` with ``tensors`` for parameters, every name and shape matched."""
    try:
        with torch.device("meta"):
            network = EDVR(**options)
    except ValueError as error:
        raise ModelError(str(error)) from None
    wanted = {name: parameter.shape for name, parameter in network.named_parameters()}
    for fault, names in (
        ("unknown", tensors.keys() - wanted.keys()),
        ("missing", wanted.keys() - tensors.keys()),
    ):
        if names:
            shown = ", ".join(map(repr, sorted(names)[:3])) + (", …" if len(names) > 3 else "")
            raise ModelError(f"{len(names)} tensors are {fault}: {shown}")
    parameters = {name: _checked(name, tensors[name], shape) for name, shape in wanted.items()}
    network.load_state_dict(parameters, strict=True, assign=True)
    return network


def _checked(name: str, tensor: Tensor, shape: torch.Size) -> Tensor:
    # The shape comes first: a few bytes of a hostile file can state a tensor of any size.
    if tensor.shape != shape:
        raise ModelError(f"{name}: got shape {[*tensor.shape]}, allowed is {[*shape]}")
    if not tensor.is_floating_point() or tensor.layout is not torch.strided or tensor.is_meta:
        raise ModelError(f"{name}: got a tensor of {tensor.dtype}, allowed are dense floats")
    weights = tensor.detach().to(torch.float32)
    if not weights.isfinite().all():
        raise ModelError(f"{name} holds values that are not finite")
    return weights
