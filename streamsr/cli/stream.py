"""The commands of a pipeline: to run one, to measure it, and to say what it would do.

Each turns what the user said into settings, and hands them to whoever runs them.
"""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from streamsr.cli.options import Device, Json, Model, Models, Set, command, print_result
from streamsr.cli.terminal import report
from streamsr.core.config import load, nearest, parse, with_overrides
from streamsr.core.data_dir import data_dir
from streamsr.core.errors import ConfigError, OutputError
from streamsr.core.settings import NodeSettings, PipelineSettings

__all__ = ["bench", "demo", "node", "probe", "run", "serve", "upscale"]

Seconds = Annotated[float | None, typer.Option(min=0.04, help="Stop after so many seconds.")]
Frames = Annotated[int | None, typer.Option(min=1, help="Stop after so many frames.")]
Listen = Annotated[str, typer.Option(help="HOST:PORT of the page; port 0 picks a free one.")]
Transport = Annotated[str, typer.Option(help="How RTSP media travels: tcp or udp.")]
DEFAULT_LISTEN = "127.0.0.1:8080"


@command
def demo(
    model: Model = "fast-small",  # a browser beside it wants its share of two cores
    models: Models = None,
    device: Device = "auto",
    listen: Listen = DEFAULT_LISTEN,
    seconds: Seconds = None,
    frames: Frames = None,
    as_json: Json = False,
) -> None:
    """Show the built-in camera, before and after, in a browser. Needs nothing but this program."""
    _serve(_settings("demo", "demo", model, models, device, seconds, frames), listen, as_json)


@command
def serve(
    url: Annotated[str, typer.Argument(help="A live address, as in rtsp://camera/stream.")],
    model: Model = "fast-camera",
    models: Models = None,
    device: Device = "auto",
    listen: Listen = DEFAULT_LISTEN,
    transport: Transport = "tcp",
    record: Annotated[
        Path | None, typer.Option(help="Also write the result to this .mp4 or .mkv file.")
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace a file that exists.")] = False,
    seconds: Seconds = None,
    frames: Frames = None,
    as_json: Json = False,
    set_: Set = None,
) -> None:
    """Upscale one live source and show it in a browser; it reconnects for ever."""
    data = _settings("live", url, model, models, device, seconds, frames)
    data["input"] |= {"transport": transport, "live": True}
    data["output"] = {"path": record, "overwrite": overwrite}
    _serve(data, listen, as_json, set_)


@command
def run(
    pipeline: Annotated[
        Path, typer.Argument(help="A pipeline file, or the name of one streamsr comes with.")
    ],
    set_: Set = None,
    seconds: Seconds = None,
    frames: Frames = None,
    as_json: Json = False,
) -> None:
    """Run a pipeline file."""
    hang_up = _deaf_to_hang_up()
    limits = {"seconds": seconds, "frames": frames}
    overrides = [f"limits.{key}={value}" for key, value in limits.items() if value is not None]
    path = _shipped_or_given(pipeline)

    def read() -> PipelineSettings:
        return load(path, PipelineSettings, [*(set_ or []), *overrides])

    settings = read()
    if settings.needs_node:
        _run_node(settings.as_node(), as_json, lambda: read().as_node(), path)
    elif settings.output.path is not None:
        signal.signal(signal.SIGHUP, hang_up)  # there is nothing to reload
        _run_here(settings, as_json)
    else:
        raise OutputError(
            f"{pipeline}: it has no output: add output.path, [serve], [hls], [record], "
            "[mqtt] or [[publish]]"
        )


@command
def node(
    config: Annotated[
        Path, typer.Argument(metavar="NODE", help="A node file, as pipelines/node.toml.")
    ],
    set_: Set = None,
    seconds: Seconds = None,
    as_json: Json = False,
) -> None:
    """Run many cameras without a screen; SIGHUP or a changed file reloads the settings."""
    _deaf_to_hang_up()
    path = _shipped_or_given(config)

    def read() -> NodeSettings:
        return load(path, NodeSettings, set_ or [])

    _run_node(read(), as_json, read, path, seconds)


@command
def upscale(
    input_: Annotated[
        str, typer.Argument(metavar="INPUT", help="A file, a folder of PNG frames, or an address.")
    ],
    output: Annotated[
        str,
        typer.Argument(
            help="NAME.mp4, NAME.mkv, a folder for PNG frames, or rtsp://… or rtmp://… of a server."
        ),
    ],
    model: Model = "fast",
    models: Models = None,
    device: Device = "auto",
    transport: Transport = "tcp",
    rate: Annotated[float, typer.Option(help="Frames a second of a folder of PNG frames.")] = 25.0,
    overwrite: Annotated[bool, typer.Option(help="Replace an output that exists.")] = False,
    seconds: Seconds = None,
    frames: Frames = None,
    as_json: Json = False,
    set_: Set = None,
) -> None:
    """Upscale a file, a folder of frames or a live address into a file, frames or a server."""
    data = _settings("upscale", input_, model, models, device, seconds, frames)
    data["input"] |= {"transport": transport, "rate": rate, "give_up_s": 10.0}
    if "://" in output:
        data["publish"] = [{"url": output, "give_up_s": 10.0}]
        _run_node(_parsed(data, set_).as_node(), as_json)
    data["output"] = {"path": output, "overwrite": overwrite}
    _run_here(_parsed(data, set_), as_json)


@command
def probe(
    url: Annotated[str, typer.Argument(help="A file, a folder of PNG frames, or an address.")],
    model: Model = "fast",
    models: Models = None,
    device: Device = "auto",
    transport: Transport = "tcp",
    as_json: Json = False,
) -> None:
    """Say what a source is, and what streamsr would do with it."""
    from streamsr.cli.probe import describe, table

    data = _settings("probe", url, model, models, device, None, None)
    data["input"] |= {"transport": transport, "give_up_s": 10.0}
    findings = describe(_parsed(data))
    print_result(findings, table(findings), as_json)


@command
def bench(
    model: Model = "fast",
    models: Models = None,
    device: Device = "auto",
    size: Annotated[str, typer.Option(help="Of the input, as in 320x180.")] = "320x180",
    frames: Annotated[int, typer.Option(min=25, help="How many to run through.")] = 250,
    as_json: Json = False,
) -> None:
    """Measure the whole path, file to file: frames a second, and each stage's share of the CPU."""
    from streamsr.cli.bench import bench_file, bench_table

    result = bench_file(model, models or [], device, size, frames)
    print_result(result, bench_table(result), as_json)


def _deaf_to_hang_up() -> Any:
    """Ignore SIGHUP until it reloads the settings: it would kill us while torch is imported.

    Gives what it did before.
    """
    return signal.signal(signal.SIGHUP, signal.SIG_IGN)


def _shipped_or_given(named: Path) -> Path:
    """The file, or the one streamsr comes with of that name. Raises ConfigError."""
    known = {path.stem: path for path in sorted(data_dir("pipelines").glob("*.toml"))}
    if named.suffix == ".toml" or os.path.exists(named):
        return named
    if str(named) not in known:
        raise ConfigError(
            f"file: got {str(named)!r}{nearest(str(named), known)}, "
            f"allowed are a .toml file and {', '.join(known)}"
        )
    return known[str(named)]


def _settings(
    name: str,
    url: str,
    model: str,
    folders: list[Path] | None,
    device: str,
    seconds: float | None,
    frames: int | None,
) -> dict[str, Any]:
    """The options every pipeline command shares, as settings."""
    return {
        "name": name,
        "input": {"url": url},
        "model": {"name": model, "device": device, "folders": tuple(folders or ())},
        "limits": {"seconds": seconds, "frames": frames},
    }


def _parsed(data: dict[str, Any], overrides: list[str] | None = None) -> PipelineSettings:
    return parse(with_overrides(data, overrides or []), PipelineSettings, "command line")


def _serve(
    data: dict[str, Any], listen: str, as_json: bool, overrides: list[str] | None = None
) -> None:
    data["serve"] = {"listen": listen}
    _run_node(_parsed(data, overrides).as_node(), as_json)


def _run_node(
    settings: NodeSettings,
    as_json: bool,
    reload: Callable[[], NodeSettings] | None = None,
    path: Path | None = None,
    seconds: float | None = None,
) -> None:
    from streamsr.cli.run import run_node

    summaries, code = run_node(settings, reload, path, seconds)
    report(summaries, as_json)
    raise typer.Exit(code)


def _run_here(settings: PipelineSettings, as_json: bool) -> None:
    from streamsr.cli.run import run_here

    summary, code = run_here(settings)
    report([summary], as_json)
    raise typer.Exit(code)
