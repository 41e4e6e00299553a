"""The command that upscales a file, a folder or a live address into something that is kept."""

from pathlib import Path
from typing import Annotated

import typer

from streamsr.cli.options import (
    Audio,
    Bitrate,
    Codec,
    Crf,
    Device,
    Follow,
    Frames,
    Json,
    Model,
    Models,
    Preset,
    Scale,
    Seconds,
    Set,
    Size,
    Transport,
    Video,
)
from streamsr.cli.run import run_here, run_node
from streamsr.cli.settings import (
    GIVE_UP_S,
    audio_choice,
    encoder_settings,
    parsed,
    stream_settings,
)
from streamsr.core.errors import UserError
from streamsr.core.redact import redact
from streamsr.core.settings import Quality
from streamsr.media.addresses import InputKind, input_kind, is_folder_output
from streamsr.zoo.card import AUTO

__all__ = ["upscale"]

OPTION_OF = {"codec": "codec", "crf": "crf", "preset": "preset", "kbit_s": "bitrate"}


def upscale(
    input_: Annotated[
        str,
        typer.Argument(
            metavar="INPUT", help="A file, - (stdin), a folder of images, or an address."
        ),
    ],
    output: Annotated[
        str,
        typer.Argument(
            help="NAME.mp4, NAME.mkv, - (stdout: Matroska), a folder for images, or rtsp://… "
            "or rtmp://… of a server."
        ),
    ],
    model: Model = AUTO,
    quality: Annotated[
        Quality, typer.Option(help="best: several passes of the network; auto: of images alone.")
    ] = Quality.AUTO,
    models: Models = None,
    device: Device = "auto",
    size: Size = None,
    scale: Scale = None,
    codec: Codec = None,
    crf: Crf = None,
    preset: Preset = None,
    bitrate: Bitrate = None,
    transport: Transport = "tcp",
    video: Video = None,
    audio: Audio = "all",
    rate: Annotated[
        str | None,
        typer.Option(help="Frames a second of a folder of images, as 24000/1001; else 25."),
    ] = None,
    audio_from: Annotated[
        Path | None, typer.Option(help="A file whose audio goes under a folder of images.")
    ] = None,
    follow: Follow = False,
    overwrite: Annotated[bool, typer.Option(help="Replace an output that exists.")] = False,
    seconds: Seconds = None,
    frames: Frames = None,
    as_json: Json = False,
    set_: Set = None,
) -> None:
    """Upscale a file, a folder of frames or a live address into a file, frames or a server."""
    if rate is not None and input_kind(input_) is not InputKind.FOLDER:
        raise UserError(
            f"--rate {rate}: got {redact(input_)} as the input, allowed is a folder of images"
        )
    data = stream_settings("upscale", input_, model, models, device, seconds, frames)
    data["model"]["quality"] = quality
    data["input"] |= {"transport": transport, "follow": follow}
    data["input"] |= {} if rate is None else {"rate": rate}
    data["input"] |= {"video": video, "audio": audio_choice(audio), "give_up_s": GIVE_UP_S}
    data["input"]["audio_from"] = audio_from
    data["output"] = {"size": size, "scale": scale}
    data["encoder"] = encoder_settings(codec, crf, preset, bitrate)
    if data["encoder"] and "://" not in output and is_folder_output(Path(output)):
        raise UserError(
            f"output {output}: got --{OPTION_OF[next(iter(data['encoder']))]} too, allowed is that "
            "of a video file or a server: a folder holds images"
        )
    if "://" in output:
        data["publish"] = [{"url": output, "give_up_s": GIVE_UP_S}]
        run_node(lambda: parsed(data, set_).as_node(), as_json)
    else:
        data["output"] |= {"path": output, "overwrite": overwrite}
        run_here(parsed(data, set_), as_json)
