"""The command by which a camera teaches itself: its main stream is the truth of its sub-stream."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated

import typer

from streamsr.cli.options import Json, Models, Transport
from streamsr.cli.settings import GIVE_UP_S
from streamsr.cli.terminal import Lines, facts_table, print_result, progress_bar, say
from streamsr.core.config import Settings, parse
from streamsr.core.devices import cores
from streamsr.core.errors import UserError
from streamsr.core.events.journal import logged_journal
from streamsr.core.settings import InputSettings
from streamsr.zoo.card import ModelName
from streamsr.zoo.registry import Entry, members

if TYPE_CHECKING:
    from streamsr.train.teach.recording import Recorded, RecordingState
    from streamsr.train.teach.taught import Stage, Taught

__all__ = ["teach"]

NOT_BETTER = 1  # the exit code where nothing was made
RUNS = Path("runs")
STILL = 0.02  # of the frames: too few that tell the time
GB = 1_000_000_000


class Named(Settings):
    """What the new family is called."""

    name: ModelName


def teach(
    main: Annotated[
        str | None, typer.Option(help="The camera's main stream, which is sharp: an address.")
    ] = None,
    sub: Annotated[
        str | None, typer.Option(help="Its sub-stream, which is small, of the same scene.")
    ] = None,
    minutes: Annotated[
        float, typer.Option(min=0.05, help="How long to record; of files: what to read of them.")
    ] = 10.0,
    train_minutes: Annotated[
        float, typer.Option(min=0.02, help="How long all that follows may take.")
    ] = 20.0,
    name: Annotated[
        str, typer.Option(help="The family that the new model belongs to, and of its folder.")
    ] = "taught",
    pairs: Annotated[
        Path | None,
        typer.Option(help="A folder that was recorded into before, in place of --main and --sub."),
    ] = None,
    init: Annotated[str, typer.Option(help="The family to begin with.")] = "fast-camera",
    scale: Annotated[
        int | None,
        typer.Option(min=1, max=8, help="Of the family's member; else the one that fits best."),
    ] = None,
    models: Models = None,
    transport: Transport = "tcp",
    disk_gb: Annotated[
        float, typer.Option(min=0.01, help="The recording ends where it has grown so large.")
    ] = 10.0,
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads to train with; else one a core.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Fit a model to a camera by its own main stream: record both streams, train, and compare.

    Where the result is not better on what training did not see, also than a model that --name has
    already, nothing is kept, and the exit code is 1.
    """
    parse({"name": name}, Named, "command line")
    inputs = _inputs(main, sub, pairs, transport)
    family = members(init, models or [])
    from streamsr.train.teach.recording import recorded_in
    from streamsr.train.teach.teaching import teach, trainable

    entries = _of_scale(trainable(family), scale, init)
    if pairs is not None:
        recorded, most_s = recorded_in(pairs), None
    else:
        recorded, most_s = _recorded(inputs, name, minutes, disk_gb), minutes * 60
    begun = monotonic()
    import torch

    torch.set_num_threads(threads or cores())
    with _progress() as report:
        result = teach(
            recorded,
            entries,
            name=name,
            runs=RUNS,
            minutes=train_minutes - (monotonic() - begun) / 60,
            most_s=most_s,
            report=report,
        )
    _say(result)
    print_result(result.to_json(), facts_table(_facts(result)), as_json)
    if result.folder is None:
        raise typer.Exit(NOT_BETTER)


def _inputs(
    main: str | None, sub: str | None, pairs: Path | None, transport: str
) -> list[InputSettings]:
    """The streams to record; none with --pairs. Raises UserError for anything else."""
    if pairs is not None and main is None and sub is None:
        return []
    if pairs is not None or main is None or sub is None:
        raise UserError("teach: allowed are --main and --sub, or --pairs FOLDER in place of both")
    return [
        parse(
            {"url": url, "transport": transport, "give_up_s": GIVE_UP_S},
            InputSettings,
            f"command line, --{role}",
        )
        for role, url in (("main", main), ("sub", sub))
    ]


def _of_scale(entries: dict[int, Entry], scale: int | None, init: str) -> dict[int, Entry]:
    if scale is None:
        return entries
    if scale not in entries:
        known = ", ".join(map(str, sorted(entries)))
        raise UserError(f"--scale: got {scale}, allowed are those of {init}: {known}")
    return {scale: entries[scale]}


def _recorded(inputs: list[InputSettings], name: str, minutes: float, disk_gb: float) -> "Recorded":
    """Records two live streams, or takes two files as they are."""
    from streamsr.train.teach.recording import Recorded, opened_pair, record, recorded_in

    if not opened_pair(*inputs):
        return Recorded(inputs[0], inputs[1], None)
    folder = RUNS / name / "recording"
    go_on = f"go on with: streamsr teach --pairs {folder} --name {name}"
    journal = logged_journal()
    with progress_bar() as bar:
        total = round(minutes * 60)
        task, lines = bar.add_task("recording", total=total, fps="s"), Lines()

        def report(recording: "RecordingState") -> None:
            done, size = round(recording.seconds), f"s, {recording.size_bytes / GB:.2f} GB"
            bar.update(task, completed=done, fps=size)
            lines.now_and_then(f"recording: {done} of {total} {size}")
            journal.tick()

        try:
            done = record(
                inputs,
                folder,
                seconds=minutes * 60,
                most_bytes=round(disk_gb * GB),
                emit=journal,
                report=report,
            )
        except KeyboardInterrupt:
            if folder.exists():
                say(f"what was recorded stays; {go_on}")
            raise
    kinds = " and ".join(
        f"{done.frames[role]} frames of {role}"
        + (f" ({done.dropped[role]} dropped)" if done.dropped[role] else "")
        for role in done.frames
    )
    say(f"recorded {kinds}, {done.size_bytes / GB:.2f} GB in {folder}; later {go_on}")
    if done.ended:
        say(f"the recording ended after {done.seconds:.0f} of {minutes * 60:.0f} s: {done.ended}")
    return recorded_in(folder)


@contextmanager
def _progress() -> Iterator[Callable[["Stage"], None]]:
    """A bar for the stage that is worked on; a line for each where there is no terminal."""
    last = ""
    with progress_bar() as bar:
        task, lines = bar.add_task("", total=None, fps=""), Lines()

        def report(progress: "Stage") -> None:
            nonlocal last
            if progress.stage != last:
                last = progress.stage
                bar.reset(task, description=last, total=progress.of)
                if bar.disable:
                    say(f"{last} …")
            bar.update(task, completed=progress.done, total=progress.of, fps=progress.text)
            of = "" if progress.of is None else f" of {progress.of}"
            lines.now_and_then(f"{last}: {progress.done}{of} {progress.text}".rstrip())

        yield report


def _say(taught: "Taught") -> None:
    if taught.moving < STILL:
        say(
            f"in {taught.moving:.0%} of the frames something moves: their time was told by the "
            "clock, not by what they show; record when there is something to see"
        )
    change = f"{taught.improvement_db:+.3f} dB on what training did not see"
    if taught.begun_again:
        say("what was trained under this name was on another recording: it was begun again")
    there = taught.there
    if taught.folder is None and there and there.ours.psnr_db > taught.before.ours.psnr_db:
        say(
            "not better than the model of this name that is there, on what training did not see: "
            f"{taught.after.ours.psnr_db:.3f} dB, that one {there.ours.psnr_db:.3f} dB: it stays"
        )
        return
    if taught.folder is None:
        say(
            f"not better than {taught.begun_with} ({change}): nothing of it was kept, "
            f"{taught.begun_with} stays; longer --minutes or --train-minutes may help"
        )
        return
    say(f"better than {taught.begun_with}: {change}; use it with --model {taught.folder}")


def _facts(taught: "Taught") -> dict[str, str]:
    before, after = taught.before, taught.after
    pixels = f"{taught.width:.2f}x{taught.height:.2f} at {taught.left:.2f}, {taught.top:.2f}"
    drift = f", drifting by {taught.drift * 1e6:.0f} ms in 1000 s" if taught.drift else ""
    behind = "main" if taught.lag_s > 0 else "sub"
    return {
        "model": str(taught.folder or ""),
        "begun with": f"{taught.begun_with}, scale {taught.scale}",
        "sub shows": f"{pixels} pixels of main, {taught.alike:.0%} of them alike",
        "time": f"{behind} is {abs(taught.lag_s) * 1e3:.0f} ms behind{drift}; "
        f"{taught.moving:.0%} of the frames move",
        "truth": "main's own pixels" if taught.exact else "main, resampled",
        "frames": ", ".join(f"{count} to {part}" for part, count in taught.pairs.items()),
        "bicubic": f"{before.bicubic.psnr_db:.2f} dB, SSIM {before.bicubic.ssim:.4f}",
        "before": f"{before.ours.psnr_db:.2f} dB, SSIM {before.ours.ssim:.4f}",
        "after": f"{after.ours.psnr_db:.2f} dB, SSIM {after.ours.ssim:.4f}, {taught.steps} steps",
    }
