"""The command that upscales a file, a folder or a live address into something that is kept."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from streamsr.cli.batch.one import run_one
from streamsr.cli.batch.running import run_batch
from streamsr.cli.batch.several import is_batch
from streamsr.cli.options import (
    Audio,
    Bitrate,
    Codec,
    Compare,
    Container,
    Crf,
    Denoise,
    Device,
    Follow,
    Frames,
    Json,
    Model,
    ModelPrecision,
    Models,
    Preset,
    QualityOption,
    Scale,
    Seconds,
    Set,
    Size,
    Transport,
    Video,
)
from streamsr.cli.run import run_node
from streamsr.cli.settings import (
    GIVE_UP_S,
    audio_choice,
    denoise_share,
    encoder_settings,
    parsed,
    stream_settings,
)
from streamsr.cli.terminal import say
from streamsr.core.errors import UserError
from streamsr.core.redact import redact
from streamsr.core.settings import PipelineSettings, Quality
from streamsr.media.addresses import (
    SUFFIXES,
    InputKind,
    input_kind,
    is_folder_output,
    scheme_of,
)
from streamsr.plugins.registry import Kind, find
from streamsr.zoo.card import AUTO

__all__ = ["upscale"]

OPTION_OF = {"codec": "codec", "crf": "crf", "preset": "preset", "kbit_s": "bitrate"}


def upscale(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT",
            help="Files, folders of videos or of images; or one of -, stdin, and an address.",
        ),
    ],
    output: Annotated[
        str,
        typer.Argument(
            metavar="OUTPUT",
            help="A folder, where INPUT is several files or a folder of videos. Of one: NAME.mp4, "
            ".mkv, .mov, .webm or .ts, - (stdout: Matroska), NAME for a folder of images, NAME/ "
            "for one of videos, or rtsp://… or rtmp://… of a server.",
        ),
    ],
    model: Model = AUTO,
    quality: QualityOption = Quality.AUTO,
    models: Models = None,
    device: Device = "auto",
    precision: ModelPrecision = None,
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
    denoise: Denoise = None,
    container: Container = None,
    compare: Compare = None,
    labels: Annotated[bool, typer.Option(help="With --compare: say which is which.")] = False,
    seconds: Seconds = None,
    frames: Frames = None,
    as_json: Json = False,
    set_: Set = None,
) -> None:
    """Upscale files, folders or a live address into files, images or a server.

    Many go into a folder, one after the other. Killed, the same command goes on where it was.
    """
    data = stream_settings("upscale", inputs[0], model, models, device, seconds, frames)
    data["model"] |= {"quality": quality, "denoise": denoise_share(denoise)}
    data["model"] |= {"precision": precision}
    data["input"] |= {"transport": transport, "follow": follow, "give_up_s": GIVE_UP_S}
    data["input"] |= {"video": video, "audio": audio_choice(audio), "audio_from": audio_from}
    data["input"] |= {} if rate is None else {"rate": rate}
    data["output"] = {"size": size, "scale": scale, "compare": compare, "labels": labels}
    data["output"] |= {"overwrite": overwrite}
    data["encoder"] = encoder_settings(codec, crf, preset, bitrate)
    if is_batch(inputs, output, has_container=container is not None):

        def settings_of(source: Path, path: Path) -> PipelineSettings:
            given = {"input": data["input"] | {"url": str(source)}}
            given |= {"output": data["output"] | {"path": path}}
            return parsed(data | given, set_)

        kept = [s for s in SUFFIXES if s != ".webm" or codec in (None, "vp9")]
        suffix = container and f".{container}"
        run_batch(inputs, Path(output), settings_of, suffix, as_json, kept)
    if container is not None:
        raise UserError(f"--container {container}: got one file, whose ending says it")
    _upscale_one(output, data, set_, as_json)


def _upscale_one(output: str, data: dict[str, Any], set_: list[str] | None, as_json: bool) -> None:
    """Upscales one source into one output, which is not in ``data`` yet."""
    url, rate = data["input"]["url"], data["input"].get("rate")
    if rate is not None and input_kind(url) is not InputKind.FOLDER:
        raise UserError(
            f"--rate {rate}: got {redact(url)} as the input, allowed is a folder of images"
        )
    if data["encoder"] and "://" not in output and is_folder_output(Path(output)):
        raise UserError(
            f"output {output}: got --{OPTION_OF[next(iter(data['encoder']))]} too, allowed is that "
            "of a video file or a server: a folder holds images"
        )
    if "://" in output and find(Kind.SINK, scheme_of(output)) is not None:
        data["sinks"] = [{"url": output}]
    elif "://" in output:
        data["publish"] = [{"url": output, "give_up_s": GIVE_UP_S}]
    else:
        data["output"] |= {"path": output}
        if is_folder_output(Path(output)) and os.path.isfile(url):
            say(f"{output}: every frame becomes an image there; {output}/ is for videos")
    settings = parsed(data, set_)
    if settings.needs_node:  # --set may name more than OUTPUT
        run_node(lambda: parsed(data, set_).as_node(), as_json)
    run_one(settings, as_json)
