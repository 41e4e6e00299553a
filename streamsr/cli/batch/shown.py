"""What is shown of a batch: how far it is, and what has become of each file."""

import os
import threading
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from rich.progress import Progress

from streamsr.cli.terminal import Lines, print_result, say, shown_name, size_text, time_text
from streamsr.files.plan import FileJob, Plan

if TYPE_CHECKING:  # torch is imported once there is something to do
    from streamsr.files.work import FileResult

__all__ = ["OneByOne", "Pace", "Together", "summarise"]

MOST_SAID = 10  # of what was left out, by name
STATES = ("done", "already done", "failed", "stopped")


class Pace:
    """How quickly frames are made, from the first that is told of on: before it models are loaded,
    and frames of another run passed by."""

    def __init__(self) -> None:
        self._first: int | None = None  # how many there were then
        self._began_s = 0.0

    def at(self, frames: int) -> tuple[int, float]:
        """Takes how many there are; returns how many were made since, and in how many seconds."""
        now_s = monotonic()
        if self._first is None:
            self._first, self._began_s = frames, now_s
        return frames - self._first, max(1e-3, now_s - self._began_s)


class OneByOne:
    """How far a batch is, in bars or in lines. One file at a time."""

    def __init__(self, plan: Plan, bar: Progress) -> None:
        self._jobs = plan.jobs
        self._sizes = [_bytes_of(job.source) for job in plan.jobs]
        self._bar, self._lines = bar, Lines()
        self._all = bar.add_task("all", total=max(1, sum(self._sizes)), fps="")
        self._one = bar.add_task("", total=None, fps="")
        self._number = 0
        self._before = 0  # bytes of the inputs that are over
        self._spent_s, self._worked = 0.0, 0.0  # on what this run has done, and its bytes
        self._pace = Pace()  # of the file

    def begins(self, number: int, job: FileJob) -> None:
        self._number, self._pace = number, Pace()
        self._bar.reset(self._one, description=shown_name(job.source.name), total=None)

    def says(self, message: str) -> None:
        say(message)

    def is_at(self, number: int, frames: int, of: int | None) -> None:
        made, spent_s = self._pace.at(frames)
        if not made:
            return
        rate = made / spent_s
        share = min(1.0, frames / of) if of else 0.5
        size = self._sizes[self._number]
        worked = self._worked + size * made / (of or 2 * frames)
        left = sum(self._sizes[self._number :]) - size * share
        all_s = (self._spent_s + spent_s) * left / worked if worked else None
        fps = f"{rate:.1f} fps"
        self._bar.update(self._one, completed=frames, total=of, fps=fps)
        self._bar.update(self._all, completed=self._before + size * share)
        one_s = max(0, of - frames) / rate if of else None
        self._lines.now_and_then(
            f"{self._number + 1} of {len(self._jobs)} {self._jobs[self._number].source}: "
            f"{frames}{f' of {of}' if of else ''} frames, {fps}"
            f"{f', {time_text(one_s)} left' if one_s is not None else ''}"
            f"{f', {time_text(all_s)} for all' if all_s is not None else ''}"
        )

    def ends(self, number: int, result: "FileResult") -> None:
        size = self._sizes[self._number]
        if result.upscaled and result.frames:
            self._spent_s += result.elapsed_s
            self._worked += size * result.upscaled / result.frames
        self._before += size
        self._bar.update(self._all, completed=self._before)
        say(f"{self._number + 1} of {len(self._jobs)} {_told(result)}")


class Together:
    """How far several files at once are. Any thread may call it."""

    def __init__(self, plan: Plan, bar: Progress) -> None:
        self._jobs = plan.jobs
        self._bar, self._lines = bar, Lines()
        self._sizes = [_bytes_of(job.source) for job in plan.jobs]
        self._all = bar.add_task("all", total=max(1, sum(self._sizes)), fps="")
        self._changing = threading.Lock()
        self._began_s = monotonic()
        self._shares: dict[int, float] = {}  # of files in work or over, by number: what is done
        self._before: dict[int, float] = {}  # the share that another run had done
        self._frames: dict[int, int] = {}  # by this run
        self._first: dict[int, int] = {}  # frames by another
        self._over = 0

    def begins(self, number: int, job: FileJob) -> None:
        pass

    def says(self, message: str) -> None:
        say(message)

    def is_at(self, number: int, frames: int, of: int | None) -> None:
        share = min(1.0, frames / of) if of else 0.0
        with self._changing:
            first = self._first.setdefault(number, frames)
            self._before.setdefault(number, share)
            self._shares[number], self._frames[number] = share, frames - first
            self._tell()

    def ends(self, number: int, result: "FileResult") -> None:
        with self._changing:
            self._over += 1
            self._shares[number] = 1.0
            self._frames[number] = result.upscaled
            before = result.upscaled / result.frames if result.frames else 0.0
            self._before[number] = 1 - before
            self._tell()
        say(f"{self._over} of {len(self._jobs)} {_told(result)}")

    def _tell(self) -> None:
        spent_s = max(1e-3, monotonic() - self._began_s)
        frames = sum(self._frames.values())
        done = sum(self._sizes[n] * share for n, share in self._shares.items())
        worked = done - sum(self._sizes[n] * share for n, share in self._before.items())
        left_s = spent_s * (sum(self._sizes) - done) / worked if worked > 0 else None
        fps = f"{frames / spent_s:.1f} fps"
        self._bar.update(self._all, completed=done, fps=fps)
        self._lines.now_and_then(
            f"{self._over} of {len(self._jobs)} files, {frames} frames, {fps} in all"
            f"{f', {time_text(left_s)} left' if left_s is not None else ''}"
        )


def _told(result: "FileResult") -> str:
    """A file in a line."""
    if result.state == "failed":
        return f"{shown_name(result.input)}: failed: {result.why}"
    if result.state == "stopped":
        return f"{result.input}: stopped: the same command goes on there"
    made = f"{result.frames} frames {result.size} by {result.model}, {size_text(result.bytes)}"
    if result.state == "done":
        rate = result.upscaled / max(result.elapsed_s, 1e-3)
        made += f", in {time_text(result.elapsed_s)} ({rate:.1f} fps)"
    notes = f"; not kept: {'; '.join(result.notes)}" if result.notes else ""
    damage = f"; damaged: {'; '.join(result.damage)}" if result.damage else ""
    return f"{result.input} -> {result.output}: {result.state}, {made}{notes}{damage}"


def summarise(
    results: Sequence["FileResult"],
    waiting: Sequence[str],
    left_out: Sequence[str],
    half_done: Sequence[str],
    elapsed_s: float,
    as_json: bool,
) -> None:
    by = {s: [r for r in results if r.state == s] for s in STATES}
    damaged = [r for r in results if r.damage and r.state != "failed"]
    if as_json:
        told = {
            "files": [asdict(one) | {"elapsed_s": round(one.elapsed_s, 2)} for one in results],
            "done": len(by["done"]),
            "already_done": len(by["already done"]),
            "failed": [one.input for one in by["failed"]],
            "damaged": [one.input for one in damaged],
            "not_begun": list(waiting),
            "left_out": list(left_out),
            "half_done": list(half_done),
            "frames": sum(one.upscaled for one in results),
            "bytes": sum(one.bytes for one in by["done"]),
            "elapsed_s": round(elapsed_s, 2),
        }
        print_result(told, None, as_json=True)
        return
    frames, made = sum(one.upscaled for one in results), sum(one.bytes for one in by["done"])
    already = f", {len(by['already done'])} done already" if by["already done"] else ""
    say(
        f"{len(by['done'])} of {len(results) + len(waiting)} files done{already}, {frames} frames, "
        f"{size_text(made)}, in {time_text(elapsed_s)}"
    )
    if left_out:
        more = len(left_out) - MOST_SAID
        also = f"; and {more} more (--json names them)" if more > 0 else ""
        say(f"left out: {'; '.join(map(shown_name, left_out[:MOST_SAID]))}{also}")
    if half_done:
        say(f"half done, and not gone on with: {'; '.join(half_done)}: remove what is not to be")
    for one in damaged:
        say(f"damaged: {one.input}: {'; '.join(one.damage)}")
    for one in by["failed"]:
        say(f"failed: {shown_name(one.input)}: {one.why}")
    if waiting or by["stopped"]:
        say("stopped: the same command goes on where it was")


def _bytes_of(path: Path) -> int:
    try:
        if path.is_dir():
            return sum(one.stat().st_size for one in os.scandir(path))
        return path.stat().st_size
    except OSError:
        return 0
