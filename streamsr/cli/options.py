"""The options that commands have in common."""

import os
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperCommand

from streamsr.core.settings import Quality
from streamsr.media.addresses import SUFFIXES

__all__ = [
    "Audio",
    "Bitrate",
    "Codec",
    "Compare",
    "Container",
    "Crf",
    "Denoise",
    "Device",
    "Follow",
    "Frames",
    "Json",
    "Model",
    "ModelPrecision",
    "Models",
    "NamesCommand",
    "Preset",
    "QualityOption",
    "Scale",
    "Seconds",
    "Set",
    "Size",
    "Transport",
    "Video",
]

Model = Annotated[
    str,
    typer.Option(help="auto, a family or a model (see `models list`), or a model's folder."),
]
Models = Annotated[
    list[Path] | None, typer.Option("--models", help="A folder of more models; may be repeated.")
]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda:N.")]
ModelPrecision = Annotated[
    Literal["float32", "bfloat16", "int8"] | None,
    typer.Option("--precision", help="What the network computes in; else what takes least here."),
]
Size = Annotated[
    str | None,
    typer.Option(help="Of the result: 720p, 1080p, 4k, WxH (a box to fit into) or its height."),
]
Scale = Annotated[
    float | None, typer.Option(help="Of the result, in place of --size: as 1, 1.5, 2, 3 or 4.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a setting, as in encoder.crf=20."),
]
Seconds = Annotated[float | None, typer.Option(min=0.04, help="Stop after so many seconds.")]
Frames = Annotated[int | None, typer.Option(min=1, help="Stop after so many frames.")]
Follow = Annotated[
    bool,
    typer.Option("--follow", help="The file still grows: read on until it has not for a while."),
]
Transport = Annotated[str, typer.Option(help="How RTSP media travels: tcp or udp.")]
Video = Annotated[
    int | None,
    typer.Option(min=0, help="Which of several videos, counted from 0; else the default one."),
]
Audio = Annotated[
    str,
    typer.Option(metavar="N|all", help="Which audio, counted from 0; all: files keep all of it."),
]
Codec = Annotated[
    Literal["h264", "hevc", "vp9"] | None,
    typer.Option(help="Of the video in a file; else h264, of .webm vp9."),
]
Crf = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=51,
        help="Constant quality, 0 to 51: lower is better and larger; else 18, hevc 20.",
    ),
]
Container = Annotated[
    Literal["mp4", "mkv", "mov", "webm", "ts"] | None,
    typer.Option(help="Of every video in a folder of results; else as the input's, or mp4."),
]
Compare = Annotated[
    Literal["side", "split"] | None,
    typer.Option(help="Before and after in one: twice as wide (side), or a half of each (split)."),
]
Denoise = Annotated[
    str | None,
    typer.Option(
        help="How much a file is restored, in place of --model: low, medium, high, or 0 to 1."
    ),
]
QualityOption = Annotated[
    Quality,
    typer.Option("--quality", help="best: several passes of the network; auto: of images alone."),
]
Preset = Annotated[
    str | None,
    typer.Option(
        help="Of x264 and x265, ultrafast to veryslow; else superfast, hevc medium, live ultrafast."
    ),
]
Bitrate = Annotated[
    str | None,
    typer.Option(help="Mean, in place of --crf: as 8M or 2500k bits a second."),
]


class NamesCommand(TyperCommand):
    """A command to which a file's name is one though it begins with a dash, as in -x.mp4."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, [f"./{a}" if _is_dashed_name(a) else a for a in args])


def _is_dashed_name(argument: str) -> bool:
    """Whether it names a video: one that is there, or one that is to be made."""
    if not argument.startswith("-") or argument == "-":
        return False
    return os.path.isfile(argument) or (
        "=" not in argument and Path(argument).suffix.lower() in SUFFIXES
    )
