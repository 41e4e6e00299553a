"""The driver's side of a file: read once, cut, its parts given to tasks and taken in order.

What was taken is a half-done file as any other: killed, it goes on there, by a fleet or by this
machine alone.
"""

import os
import queue
import shutil
import threading
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from streamsr.core.errors import OutputError, StreamsrError
from streamsr.core.files import write_whole
from streamsr.core.settings import StreamSettings
from streamsr.files.checkpoint import Checkpoint, Opening
from streamsr.files.identity import identity_of
from streamsr.files.part import BeginAgainError, Stopped
from streamsr.files.partial import Partial
from streamsr.files.span import Span
from streamsr.files.upscaling import HalfDone, segment_of
from streamsr.fleet.archive.orders import Failed, Order, Tasks
from streamsr.fleet.archive.parts import FilePart, warm_up_of
from streamsr.fleet.archive.scan import Scan
from streamsr.fleet.archive.task import MARK
from streamsr.zoo.card import Precision

__all__ = ["FleetUpscaling"]

PARTS = "parts"  # the folder of them, in that of the half-done file
LOOK_S = 0.25  # between looks at tasks
SCANS = 2  # files that are read at once, which leaves decoders cores


class FleetUpscaling:
    """Parts of files upscaled by the tasks of a cluster."""

    def __init__(self, tasks: Tasks, device: str, part_s: float, niceness: int) -> None:
        """``part_s``: how long a part is, rounded to whole segments."""
        self._tasks, self._device = tasks, device
        self._part_s, self._niceness = part_s, niceness
        self._whole: set[Path] = set()  # files that are not cut
        self._scanning = threading.Semaphore(SCANS)

    @property
    def device(self) -> str:
        return self._device

    def upscale(self, file: HalfDone) -> None:
        of_a_part = max(1, round(self._part_s / segment_of(file.settings)))
        try:
            self._upscale(file, None if file.job.source in self._whole else of_a_part)
        except _ChangesError as change:
            self._whole.add(file.job.source)
            raise BeginAgainError(f"{change}: one task does all of it") from None

    def _upscale(self, file: HalfDone, segments: int | None) -> None:
        """``segments``: of a part; None: all that are left are one."""
        span = Span(segment_of(file.settings), file.settings.limits, segments)
        orders = _Orders(file, self._device, self._niceness, segments)
        with ThreadPoolExecutor(1, "streamsr-scan") as thread:
            work = _Work(file, self._tasks, orders, Scan(file, span, warm_up_of(file.settings)))
            scanned = thread.submit(work.scan, self._scanning)
            try:
                work.take_all(scanned)
            finally:
                work.close(scanned)
        work.finish()


class _ChangesError(Exception):
    """A file whose parts cannot be made apart from each other."""


class _Orders:
    """What the tasks of a file are told. Raises OutputError."""

    def __init__(self, file: HalfDone, device: str, niceness: int, segments: int | None) -> None:
        self.folder = file.partial.folder.absolute() / PARTS
        self._mark = uuid.uuid4().hex
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_whole(self.folder / MARK, self._mark.encode())
        except OSError as error:
            raise OutputError(f"output {self.folder}: cannot be written: {error}") from None
        self._job = replace(file.job, source=file.job.source.absolute())
        self._settings = _absolute(file.settings, self._job.source)
        self._identity = identity_of(self._job.source, self._settings)
        self._device, self._niceness, self._segments = device, niceness, segments

    def of(self, part: FilePart, precision: Precision | None) -> Order:
        return Order(
            job=self._job,
            settings=self._settings,
            identity=self._identity,
            folder=self.folder,
            mark=self._mark,
            part=part,
            segments=self._segments,
            device=self._device,
            precision=precision,
            niceness=self._niceness,
        )

    def made(self, part: FilePart) -> Partial:
        """Returns what a task has made."""
        return Partial(self.folder / part.name, self._identity)


class _Work:
    """The parts of one file: begun by the thread that scans, taken by another."""

    def __init__(self, file: HalfDone, tasks: Tasks, orders: _Orders, scan: Scan) -> None:
        self._file, self._tasks, self._orders, self._scan = file, tasks, orders, scan
        self._partial = file.partial
        self._begun: queue.SimpleQueue[tuple[FilePart, Any] | None] = queue.SimpleQueue()
        self._ending = threading.Event()
        self._waiting: dict[Any, FilePart] = {}  # tasks that were not seen to have ended
        self._ahead = 0  # frames in parts that are made and not taken

    def scan(self, scanning: threading.Semaphore) -> None:
        """Begins a task for each part."""
        try:
            with scanning:
                for part in self._scan.parts(self._ending):
                    order = self._orders.of(part, self._precision)
                    self._begun.put((part, self._tasks.begin(order)))
        finally:
            self._begun.put(None)

    def take_all(self, scanned: "Future[None]") -> None:
        """Takes the parts in their order, each once it is made."""
        for part, task in self._in_order():
            opening = self._made(part, task)
            if self._partial.opening is not None and opening != self._partial.opening:
                if not _differ_in_precision(opening, self._partial.opening):
                    raise _ChangesError("its frames change on the way")
                opening = self._made_again(part)
            self._take(part)
        scanned.result()

    def finish(self) -> None:
        """States that the file's frames are done. Raises Stopped where they are not."""
        if self._file.stop.is_set() or self._scan.end is None:
            raise Stopped
        last = Checkpoint(self._scan.frames, plain=self._partial.checkpoint.plain)
        self._partial.commit(last, self._scan.end)
        shutil.rmtree(self._orders.folder, ignore_errors=True)

    def close(self, scanned: "Future[None]") -> None:
        """Ends what is not needed any more."""
        self._ending.set()
        wait([scanned])
        while not self._begun.empty():
            if (begun := self._begun.get()) is not None:
                self._waiting[begun[1]] = begun[0]
        if self._waiting:
            self._tasks.cancel(list(self._waiting))
            self._tasks.ended(list(self._waiting), within_s=5)

    @property
    def _precision(self) -> Precision | None:
        opening = self._partial.opening
        return None if opening is None else cast("Precision", opening.precision)

    def _in_order(self) -> Iterator[tuple[FilePart, Any]]:
        """Yields parts whose tasks have ended, in the order of the file."""
        pending: list[tuple[FilePart, Any]] = []
        open_ = True
        while open_ or pending:
            while open_ and (not pending or not self._begun.empty()):
                begun = self._next()
                if begun is None:
                    open_ = False
                else:
                    pending.append(begun)
                    self._waiting[begun[1]] = begun[0]
            if pending and pending[0][1] in self._waiting:
                self._look()
            while pending and pending[0][1] not in self._waiting:
                yield pending.pop(0)

    def _next(self) -> tuple[FilePart, Any] | None:
        while True:
            try:
                return self._begun.get(timeout=LOOK_S)
            except queue.Empty:
                self._check_stop()

    def _look(self) -> None:
        """Waits a little for tasks; tells how many frames are done."""
        self._check_stop()
        for task in self._tasks.ended(list(self._waiting), LOOK_S):
            self._ahead += self._waiting.pop(task).frames
        known = self._scan.known if self._scan.end is None else self._scan.frames
        self._file.is_at(self._partial.frames + self._ahead, known)

    def _check_stop(self) -> None:
        if self._file.stop.is_set():
            raise Stopped

    def _made(self, part: FilePart, task: Any) -> Opening:
        """Returns how a part is encoded. Raises StreamsrError."""
        result = self._tasks.result(task)
        if isinstance(result, Failed):
            raise StreamsrError(f"{result.host}: {result.why}")
        made = self._orders.made(part)
        made.close()
        if made.opening is None or made.frames != part.after.frames:
            raise OutputError(
                f"output {made.folder}: {result.host} has made {part.frames} frames there, and "
                "this host does not see them: allowed is a folder that all hosts share"
            )
        return made.opening

    def _made_again(self, part: FilePart) -> Opening:
        """Has a part made in the precision of the others, where its host chose another."""
        shutil.rmtree(self._orders.folder / part.name, ignore_errors=True)
        task = self._tasks.begin(self._orders.of(part, self._precision))
        self._waiting[task] = part
        self._ahead -= part.frames
        while task in self._waiting:
            self._look()
        opening = self._made(part, task)
        if opening != self._partial.opening:
            raise StreamsrError(
                f"fleet: a host makes it by {opening.model} in {opening.precision}, another in "
                f"{self._precision}: allowed are hosts that can do the same"
            )
        return opening

    def _take(self, part: FilePart) -> None:
        """Adds a part that is made to the half-done file."""
        made, partial = self._orders.made(part), self._partial
        assert made.opening is not None  # it was looked at
        if partial.opening is None:
            partial.begin(made.opening)
        for packet in made.packets(self._file.settings.encoder.codec):
            partial.append(packet)
        _move(list(made.images.iterdir()), partial.images)
        failed = partial.checkpoint.plain + made.checkpoint.plain
        partial.commit(replace(part.after, plain=failed))
        self._ahead -= part.frames
        made.remove()


def _move(images: Sequence[Path], folder: Path) -> None:
    for image in images:
        image.replace(folder / image.name)


def _differ_in_precision(one: Opening, other: Opening) -> bool:
    """Whether nothing else differs."""
    return replace(one, precision=other.precision) == other


def _absolute(settings: StreamSettings, source: Path) -> StreamSettings:
    """Returns settings that name the same on a host, whatever folder its processes are in."""
    model = settings.model
    name = str(Path(model.name).absolute()) if os.sep in model.name else model.name
    folders = tuple(folder.absolute() for folder in model.folders)
    audio_from = settings.input.audio_from
    given = {"url": str(source), "audio_from": audio_from and audio_from.absolute()}
    changed = {
        "model": model.model_copy(update={"name": name, "folders": folders}),
        "input": settings.input.model_copy(update=given),
    }
    return settings.model_copy(update=changed)
