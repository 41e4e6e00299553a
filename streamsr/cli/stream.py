"""The commands of a pipeline: to run one, to measure it, and to say what it would do.

Each makes settings of what the user said, and hands them to what runs them. None imports torch
before the settings are checked.
"""

import os
from pathlib import Path
from typing import Annotated

import typer

from streamsr.cli.batch.file_options import ResultOptions, with_options
from streamsr.cli.batch.one import run_one
from streamsr.cli.batch.several import are_several
from streamsr.cli.options import (
    Audio,
    Device,
    Frames,
    Json,
    Model,
    ModelPrecision,
    Models,
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
    parsed,
    stream_settings,
)
from streamsr.cli.terminal import print_result
from streamsr.core.config import load, parse
from streamsr.core.errors import ConfigError, OutputError, UserError, nearest
from streamsr.core.settings import NodeSettings, OutputSettings, PipelineSettings
from streamsr.core.target_size import TargetSize
from streamsr.files.plan import planned
from streamsr.pipeline.check import check_settings
from streamsr.zoo.card import AUTO
from streamsr.zoo.data_dir import data_dir

__all__ = ["bench", "demo", "node", "probe", "run", "serve"]

Listen = Annotated[str, typer.Option(help="HOST:PORT of the page; port 0 picks a free one.")]
DEFAULT_LISTEN = "127.0.0.1:8080"
BENCH_INPUT = "320x180"


def demo(
    model: Model = AUTO,
    models: Models = None,
    device: Device = "auto",
    size: Size = None,
    scale: Scale = None,
    listen: Listen = DEFAULT_LISTEN,
    seconds: Seconds = None,
    frames: Frames = None,
    as_json: Json = False,
) -> None:
    """Show the built-in camera, before and after, in a browser. Needs nothing but this program."""
    data = stream_settings("demo", "demo", model, models, device, seconds, frames)
    data["output"] = {"size": size, "scale": scale}
    data["serve"] = {"listen": listen}
    run_node(lambda: parsed(data).as_node(), as_json)


def serve(
    url: Annotated[
        str, typer.Argument(metavar="INPUT", help="A live address, as in rtsp://camera/stream.")
    ],
    model: Model = AUTO,
    models: Models = None,
    device: Device = "auto",
    size: Size = None,
    scale: Scale = None,
    listen: Listen = DEFAULT_LISTEN,
    transport: Transport = "tcp",
    video: Video = None,
    audio: Audio = "all",
    record: Annotated[
        Path | None, typer.Option(help="Also write the result to this .mp4 or .mkv file.")
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace a file that exists.")] = False,
    seconds: Seconds = None,
    frames: Frames = None,
    as_json: Json = False,
    set_: Set = None,
) -> None:
    """Upscale one live source and show it in a browser; it reconnects indefinitely."""
    data = stream_settings("live", url, model, models, device, seconds, frames)
    data["input"] |= {
        "transport": transport,
        "video": video,
        "audio": audio_choice(audio),
        "live": True,
    }
    data["output"] = {"path": record, "overwrite": overwrite, "size": size, "scale": scale}
    data["serve"] = {"listen": listen}
    run_node(lambda: parsed(data, set_).as_node(), as_json)


def run(
    pipeline: Annotated[
        Path,
        typer.Argument(
            metavar="PIPELINE", help="A pipeline file, or the name of one streamsr comes with."
        ),
    ],
    size: Size = None,
    scale: Scale = None,
    set_: Set = None,
    seconds: Seconds = None,
    frames: Frames = None,
    as_json: Json = False,
) -> None:
    """Run a pipeline file."""
    limits = {"seconds": seconds, "frames": frames}
    overrides = [f"limits.{key}={value}" for key, value in limits.items() if value is not None]
    path = _given_or_shipped(pipeline)

    def read() -> PipelineSettings:
        found = load(path, PipelineSettings, [*(set_ or []), *overrides])
        if size is None and scale is None:
            return found
        output = found.output.model_dump() | {"size": size, "scale": scale}
        asked = parse(output, OutputSettings, "command line: output")
        return found.model_copy(update={"output": asked})

    settings = read()
    if settings.needs_node:
        run_node(lambda: read().as_node(), as_json, path)
    elif settings.output.path is not None or settings.sinks:
        run_one(settings, as_json)
    else:
        raise OutputError(
            f"{pipeline}: it has no output: add output.path, [serve], [hls], [record], "
            "[mqtt], [[publish]] or [[sinks]]"
        )


def node(
    config: Annotated[
        Path, typer.Argument(metavar="NODE", help="A node file, as pipelines/node.toml.")
    ],
    set_: Set = None,
    seconds: Seconds = None,
    as_json: Json = False,
) -> None:
    """Run many cameras without a screen; SIGHUP or a changed file reloads the settings."""
    path = _given_or_shipped(config)

    def read() -> NodeSettings:
        return load(path, NodeSettings, set_ or [])

    run_node(read, as_json, path, seconds, overrides=set_ or [])


@with_options
def probe(
    urls: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT",
            help="A file, a folder of images, or an address; or several files, and folders of "
            "videos: how long all of them take.",
        ),
    ],
    options: ResultOptions,
    transport: Transport = "tcp",
) -> None:
    """Say what sources are, and what streamsr would do with them, how long and how large."""
    data = options.settings("probe", urls[0])
    data["input"] |= {"transport": transport, "give_up_s": GIVE_UP_S}
    if are_several(urls):
        found = planned([Path(url) for url in urls], Path(os.devnull)).jobs
        inputs = [data["input"] | {"url": str(job.source)} for job in found]
        several = [parsed(data | {"input": one}, options.set_) for one in inputs]
        from streamsr.cli.probe import describe_all
        from streamsr.cli.probe_tables import all_table

        findings = describe_all(several)
        print_result(findings, all_table(findings), options.as_json)
        raise typer.Exit(1 if findings["failed"] else 0)
    settings = parsed(data, options.set_)
    check_settings(settings)
    from streamsr.cli.probe import describe
    from streamsr.cli.probe_tables import findings_table

    findings = describe(settings)
    print_result(findings, findings_table(findings), options.as_json)


def bench(
    model: Model = "fast",
    models: Models = None,
    device: Device = "auto",
    size: Size = None,
    scale: Scale = None,
    input_size: Annotated[
        str | None, typer.Option(help=f"Of the input; else {BENCH_INPUT}.")
    ] = None,
    precision: ModelPrecision = None,
    frames: Annotated[int, typer.Option(min=25, help="How many to run through.")] = 250,
    as_json: Json = False,
) -> None:
    """Measure the whole path, coded as live: frames a second, and each stage's share of the CPU."""
    sides = _sides(input_size or BENCH_INPUT)
    data = stream_settings("bench", "demo", model, models, device)
    data["output"] = {"size": size, "scale": scale}
    settings = parsed(data)
    if size is not None and input_size is None:
        _check_result(size, sides)
    check_settings(settings)
    from streamsr.cli.bench import bench_file, bench_table

    result = bench_file(settings, sides, frames, precision)
    print_result(result, bench_table(result), as_json)


def _given_or_shipped(named: Path) -> Path:
    """The file, or the one streamsr comes with of that name. Raises ConfigError."""
    folder = data_dir("pipelines")
    known = {path.stem: path for path in sorted(folder.glob("*.toml"))}
    if os.path.exists(named):
        return named
    if named.suffix == ".toml":
        raise ConfigError(f"{named}: there is no such file; those to begin with are in {folder}")
    if str(named) not in known:
        raise ConfigError(
            f"file: got {str(named)!r}{nearest(str(named), known)}, "
            f"allowed are a .toml file and {', '.join(known)}"
        )
    return known[str(named)]


def _sides(size: str) -> tuple[int, int]:
    """Width and height of "320x180". Raises UserError."""
    width, _, height = size.partition("x")
    sides = [int(side) if side.isdecimal() else 0 for side in (width, height)]
    if not all(32 <= side <= 4096 and side % 2 == 0 for side in sides):
        raise UserError(
            f"--input-size: got {size!r}, allowed is WIDTHxHEIGHT of even sides from 32 to 4096, "
            f"as in {BENCH_INPUT}"
        )
    return sides[0], sides[1]


def _check_result(size: str, sides: tuple[int, int]) -> None:
    """Raises UserError for a size that would be the input's, as --size of bench once was."""
    target = TargetSize.parse(size, None)
    if target is not None and target.width and target.of(*sides) < (4 * sides[0], 4 * sides[1]):
        raise UserError(
            f"--size: got {size}, the size of the result: for an input of that size say "
            f"--input-size {size}; for such a result add --input-size {BENCH_INPUT}"
        )
