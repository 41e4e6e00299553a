"""The command that upscales a file, a folder or a live address into something that is kept."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from streamsr.cli.batch.file_options import FileOptions, with_options
from streamsr.cli.batch.one import run_one
from streamsr.cli.batch.running import run_batch
from streamsr.cli.batch.several import is_batch
from streamsr.cli.options import Follow, Transport
from streamsr.cli.run import run_node
from streamsr.cli.settings import GIVE_UP_S, parsed
from streamsr.cli.terminal import say
from streamsr.core.errors import OutputError, UserError
from streamsr.core.redact import redact
from streamsr.core.settings.stream import PUBLISH_SCHEMES
from streamsr.media.addresses import (
    InputKind,
    check_name,
    input_kind,
    is_folder_output,
    scheme_of,
)
from streamsr.plugins.registry import Kind, find, unknown

__all__ = ["upscale"]

OPTION_OF = {"codec": "codec", "crf": "crf", "preset": "preset", "kbit_s": "bitrate"}


@with_options
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
    options: FileOptions,
    transport: Transport = "tcp",
    rate: Annotated[
        str | None,
        typer.Option(help="Frames a second of a folder of images, as 24000/1001; else 25."),
    ] = None,
    audio_from: Annotated[
        Path | None, typer.Option(help="A file whose audio goes under a folder of images.")
    ] = None,
    follow: Follow = False,
) -> None:
    """Upscale files, folders or a live address into files, images or a server.

    Many go into a folder, one after the other. Killed, the same command goes on where it was.
    """
    for name in (*inputs, output) if len(inputs) == 1 else (output,):
        check_name(name)
    data = options.data(inputs[0])
    data["input"] |= {"transport": transport, "follow": follow, "give_up_s": GIVE_UP_S}
    data["input"] |= {"audio_from": audio_from} | ({} if rate is None else {"rate": rate})
    if is_batch(inputs, output, has_container=options.container is not None):
        settings_of = options.settings_by(data)
        folder, endings = Path(output), (options.suffix, options.kept)
        run_batch(inputs, folder, settings_of, options.as_json, *endings)
    if options.container is not None:
        raise UserError(f"--container {options.container}: got one file, whose ending says it")
    _upscale_one(output, data, options)


def _upscale_one(output: str, data: dict[str, Any], options: FileOptions) -> None:
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
    scheme = scheme_of(output)
    if "://" in output and find(Kind.SINK, scheme) is not None:
        data["sinks"] = [{"url": output}]
    elif "://" in output:
        if scheme not in PUBLISH_SCHEMES:
            said = unknown(Kind.SINK, scheme, [*PUBLISH_SCHEMES])
            raise OutputError(f"output {redact(output)}: {said}")
        data["publish"] = [{"url": output, "give_up_s": GIVE_UP_S}]
    else:
        data["output"] |= {"path": output}
        if is_folder_output(Path(output)) and os.path.isfile(url):
            say(f"{output}: every frame becomes an image there; {output}/ is for videos")
    settings = parsed(data, options.set_)
    if settings.needs_node:  # --set may name more than OUTPUT
        run_node(lambda: parsed(data, options.set_).as_node(), options.as_json)
    run_one(settings, options.as_json)
