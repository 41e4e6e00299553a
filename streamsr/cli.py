"""The command line: what the user said into settings, and the settings to whoever does the work."""

import json
import os
import signal
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, ParamSpec, TypeVar

import typer

from streamsr import terminal
from streamsr.config import load, nearest, parse, with_overrides
from streamsr.errors import ConfigError, OutputError
from streamsr.settings import NodeSettings, PipelineSettings
from streamsr.shipped import shipped
from streamsr.terminal import exit_codes

__all__ = ["app", "main"]

app = typer.Typer(
    name="streamsr",
    help="Upscale live video as it arrives: a camera in, a sharper picture out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
models = typer.Typer(help="List, inspect and import models.", no_args_is_help=True)
app.add_typer(models, name="models")

Model = Annotated[str, typer.Option(help="A model's name (see `models list`), or its folder.")]
Models = Annotated[
    list[Path] | None, typer.Option("--models", help="A folder of more models; may be repeated.")
]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda:N.")]
Seconds = Annotated[float | None, typer.Option(min=0.04, help="Stop after so many seconds.")]
Frames = Annotated[int | None, typer.Option(min=1, help="Stop after so many frames.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
Listen = Annotated[str, typer.Option(help="HOST:PORT of the page; port 0 picks a free one.")]
Transport = Annotated[str, typer.Option(help="How RTSP media travels: tcp or udp.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a setting, as in encoder.crf=20."),
]
DEFAULT_LISTEN = "127.0.0.1:8080"

P = ParamSpec("P")
R = TypeVar("R")


def command(function: Callable[P, R]) -> Callable[P, R]:
    """Give a command streamsr's logs, errors and exit codes."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        with exit_codes():
            terminal.set_up_logs()
            return function(*args, **kwargs)

    return run


@app.command()
@command
def demo(
    model: Model = "fast",
    models: Models = None,
    device: Device = "auto",
    listen: Listen = DEFAULT_LISTEN,
    seconds: Seconds = None,
    frames: Frames = None,
    as_json: Json = False,
) -> None:
    """Show the built-in camera, before and after, in a browser. Needs nothing but this program."""
    _serve(_settings("demo", "demo", model, models, device, seconds, frames), listen, as_json)


@app.command()
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


@app.command()
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


@app.command()
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


@app.command()
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


@app.command()
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
    from streamsr.probing import describe, table

    data = _settings("probe", url, model, models, device, None, None)
    data["input"] |= {"transport": transport, "give_up_s": 10.0}
    findings = describe(_parsed(data))
    _print(findings, table(findings), as_json)


@models.command("list")
@command
def list_models(models: Models = None, as_json: Json = False) -> None:
    """List the models there are."""
    from streamsr.zoo.display import listed, models_table
    from streamsr.zoo.registry import listing

    entries = listing(models or [])
    _print([listed(entry) for entry in entries.values()], models_table(entries.values()), as_json)


@models.command("info")
@command
def model_info(
    name: Annotated[str, typer.Argument(help="A model's name, or its folder.")],
    models: Models = None,
    as_json: Json = False,
) -> None:
    """Show a model's card."""
    from streamsr.zoo.display import card_table, listed
    from streamsr.zoo.registry import find

    entry = find(name, models or [])
    _print(listed(entry), card_table(entry), as_json)


@models.command("import")
@command
def import_model(
    checkpoint: Annotated[Path, typer.Argument(help="A published EDVR checkpoint (.pth).")],
    name: Annotated[str, typer.Option(help="What the model is to be called.")],
    into: Annotated[Path, typer.Option(help="The folder of models to add it to.")] = Path("models"),
) -> None:
    """Convert a published checkpoint (BasicSR's, mmagic's, the 2019 release's) to a model."""
    from streamsr.zoo.convert import import_checkpoint

    folder = import_checkpoint(checkpoint, into, name)
    terminal.console.print(
        f"imported; use it with --model {folder}", markup=False, highlight=False, soft_wrap=True
    )


@app.command()
@command
def train(
    config: Annotated[
        Path | None, typer.Argument(help="A training file, as models/fast/train.toml.")
    ] = None,
    init: Annotated[
        str | None, typer.Option(help="A model to train further, in place of a file.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="With --init: a folder of clips of your own camera.")
    ] = None,
    minutes: Annotated[
        float, typer.Option(min=0.05, help="With --init: how long it may take.")
    ] = 20.0,
    name: Annotated[
        str | None, typer.Option(help="With --init: what the new model is called.")
    ] = None,
    models: Models = None,
    set_: Set = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads.")] = None,
    as_json: Json = False,
) -> None:
    """Train a network as a file says, or one that there is further on clips of your own.

    Either goes on from the last checkpoint of its run.
    """
    from streamsr.train.command import run_finetuning, run_training

    if config is not None and init is None and data is None:
        result = run_training(config, set_ or [], threads or 1)
    elif config is None and init is not None and data is not None and not set_:
        result = run_finetuning(init, data, minutes, name, models or [], threads or 2)
    else:
        raise ConfigError(
            "train: allowed are a training file (with --set), or --init MODEL --data FOLDER"
        )
    _print(result, None, as_json)


@app.command()
@command
def degrade(
    config: Annotated[
        Path, typer.Argument(help="A training file with a [data.degrade], as fast-camera's.")
    ],
    output: Annotated[Path, typer.Argument(help="The picture to write, NAME.png.")],
    rows: Annotated[int, typer.Option(min=1, max=50, help="How many clips to show.")] = 6,
    set_: Set = None,
) -> None:
    """Show what a training file's degradation does: clips before and after, side by side."""
    from streamsr.train.command import run_degradation

    run_degradation(config, set_ or [], rows, output)


@app.command("eval")
@command
def evaluate(
    target: Annotated[
        Path, typer.Argument(help="Ground truth: a clip, or a folder of clips or PNG frames.")
    ],
    model: Model = "fast",
    models: Models = None,
    device: Device = "auto",
    frames: Annotated[int | None, typer.Option(min=1, help="At most so many of a clip.")] = None,
    against: Annotated[
        list[str] | None, typer.Option(help="Another model to score beside; may be repeated.")
    ] = None,
    degrade: Annotated[
        str, typer.Option(help="What the models see: bicubic, or camera (H.264 at three rates).")
    ] = "bicubic",
    report: Annotated[
        Path | None, typer.Option(help="A folder for the tables and a chart as files.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure a model as the papers do, beside bicubic: PSNR, SSIM, time a frame, cost."""
    from streamsr.train.command import run_evaluation

    result, table = run_evaluation(
        target,
        model,
        models or [],
        device,
        frames,
        against=against or (),
        degrade=degrade,
        report=report,
    )
    _print(result, table, as_json)


@app.command()
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
    from streamsr.benching import bench_file, bench_table

    result = bench_file(model, models or [], device, size, frames)
    _print(result, bench_table(result), as_json)


def main() -> None:
    """Run the program."""
    app()


def _deaf_to_hang_up() -> Any:
    """Ignore SIGHUP until it reloads the settings: it would kill us while torch is imported.

    Gives what it did before.
    """
    return signal.signal(signal.SIGHUP, signal.SIG_IGN)


def _shipped_or_given(named: Path) -> Path:
    """The file, or the one streamsr comes with of that name. Raises ConfigError."""
    known = {path.stem: path for path in sorted(shipped("pipelines").glob("*.toml"))}
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
    from streamsr.running import run_node

    summaries, code = run_node(settings, reload, path, seconds)
    terminal.report(summaries, as_json)
    raise typer.Exit(code)


def _run_here(settings: PipelineSettings, as_json: bool) -> None:
    from streamsr.running import run_here

    summary, code = run_here(settings)
    terminal.report([summary], as_json)
    raise typer.Exit(code)


def _print(result: Any, table: Any, as_json: bool) -> None:
    """The result as JSON on stdout, or the table for people."""
    if as_json:
        sys.stdout.write(json.dumps(result) + "\n")
    elif table is not None:
        from rich.console import Console

        Console().print(table)
