"""One file from its source to its name: upscaled from where it was, joined, and named at last."""

import functools
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from streamsr.core.errors import InputError, OutputError
from streamsr.core.events import Code, Emit
from streamsr.core.files import sync
from streamsr.core.settings import StreamSettings
from streamsr.core.version import version_of_streamsr
from streamsr.files.half_done import folder_of
from streamsr.files.join import join_parts
from streamsr.files.part import BeginAgainError
from streamsr.files.partial import Partial
from streamsr.files.plan import FileJob
from streamsr.files.record import Kept, said_of, state_of
from streamsr.files.upscaling import FileUpscaling, HalfDone, Heard
from streamsr.media.encoder_options import filled
from streamsr.media.source import SourceInfo
from streamsr.sources.files import FileSource
from streamsr.sources.folder import FolderSource

__all__ = ["FileResult", "FileWork", "Watcher", "Workshop"]

JOINED = "joined"  # the file in a folder of a half-done one that gets its name
FORMER = "former"  # the images that were there before


@dataclass(frozen=True, slots=True, kw_only=True)
class FileResult:
    """What has become of one file, for people and programs."""

    input: str
    output: str
    state: str  # done, already done, failed, or stopped
    why: str = ""  # it failed, or is not done as it was before
    frames: int = 0  # in the result
    upscaled: int = 0  # of those, by this run
    elapsed_s: float = 0.0  # of this run
    bytes: int = 0
    size: str = ""  # "320x180 -> 1280x720"
    model: str = ""
    notes: tuple[str, ...] = ()  # what is not as the source has it
    damage: tuple[str, ...] = ()  # what of the source could not be read, or upscaled
    moved: int = 0  # frames whose time stamps could not be kept
    jumps: int = 0  # of its time stamps, that were joined
    plain: int = 0  # how often the network failed: another run makes the file again


class Watcher(Protocol):
    """Who is told how far a batch is, of files by their number. Any thread may call it."""

    def begins(self, number: int, job: FileJob) -> None: ...

    def says(self, message: str) -> None: ...

    def is_at(self, number: int, frames: int, of: int | None) -> None: ...

    def ends(self, number: int, result: FileResult) -> None: ...


@dataclass(frozen=True, slots=True)
class Workshop:
    """What the files of a run have in common."""

    upscaling: FileUpscaling
    record: Kept
    watcher: Watcher
    stop: threading.Event  # set once the run is to end
    emit_of: Callable[[FileJob], Emit]  # who is told what happens to a file


class FileWork:
    """One file from its source to its name."""

    def __init__(
        self,
        number: int,
        job: FileJob,
        path: Path,
        settings: StreamSettings,
        identity: Mapping[str, Any],
        shop: Workshop,
    ) -> None:
        self._number, self._job, self._path, self._shop = number, job, path, shop
        low_delay = {"encoder": filled(settings.encoder, low_delay=False)}
        self._settings = settings.model_copy(update=low_delay)
        self._identity = identity
        self._heard = Heard(shop.emit_of(job))
        self._folder = folder_of(path, inside=job.in_place)

    def done(self, result: FileResult) -> FileResult:
        """Makes the file, from where it was. Raises StreamsrError, OSError, and Stopped once it is
        to stop."""
        while True:
            try:
                return self._tried(result)
            except BeginAgainError as error:
                self._shop.watcher.says(f"{self._path}: begun again: {error}")
                Partial(self._folder, self._begun_as).remove()

    def _tried(self, result: FileResult) -> FileResult:
        """As ``done``; raises BeginAgainError too."""
        partial = Partial(self._folder, self._begun_as)
        try:
            if partial.restarted:
                self._shop.watcher.says(f"{self._path}: begun again: {partial.restarted}")
            elif partial.frames and partial.end is None:
                self._shop.watcher.says(f"{self._path}: goes on after {partial.frames} frames")
            elif partial.end is not None:
                self._shop.watcher.says(f"{self._path}: its {partial.frames} frames are done")
            began = partial.frames
            if partial.end is None:
                self._upscale(partial)
            notes = self._join(partial)
            made = self._named(partial, notes, began, result)
        except (InputError, OutputError):
            partial.close()
            if partial.opening is None:  # nothing came of it
                self._leave_nothing(partial)
            raise
        finally:
            partial.close()
        partial.remove()
        return made

    @property
    def _begun_as(self) -> dict[str, Any]:
        device = self._shop.upscaling.device
        return {**self._identity, "device": device, "version": version_of_streamsr()}

    def _upscale(self, partial: Partial) -> None:
        shop, number = self._shop, self._number
        is_at = functools.partial(shop.watcher.is_at, number)
        says = shop.watcher.says
        job, settings = self._job, self._settings
        file = HalfDone(job, settings, partial, shop.stop, says, self._heard, is_at)
        shop.upscaling.upscale(file)

    def _failures(self, plain: int) -> list[str]:
        """Says how often the network failed, and how it did last where that was in this run."""
        if not plain:
            return []
        how = self._heard.newest(Code.SR_FAILED) or "the network failed; a frame is scaled plainly"
        return [f"{how}: {plain} times"]

    def _join(self, partial: Partial) -> list[str]:
        """Makes of a half-done file what gets its name; returns what is not kept."""
        if self._job.is_images:
            return self._beside_frames()
        path = self._folder / JOINED
        codec, suffix = self._settings.encoder.codec, self._path.suffix.lower()
        return join_parts(partial, self._carrying(), path, suffix, codec, self._shop.stop)

    def _carrying(self) -> FileSource | FolderSource:
        """What else its source carries, of which all has been told."""
        given = self._settings.input
        if self._job.source.is_dir():
            rate, audio_from = given.exact_rate, given.audio_from
            return FolderSource(self._job.source, rate, audio_from, emit=lambda event: None)
        return FileSource(
            str(self._job.source),
            lambda event: None,
            max_gap_s=given.max_gap_s,
            video=given.video,
            audio=given.audio,
        )

    def _beside_frames(self) -> list[str]:
        """What of a video images have no place for."""
        for item in self._carrying().carried(self._shop.stop):
            if isinstance(item, SourceInfo):
                return [] if item.carried is None else item.carried.named
        return []

    def _leave_nothing(self, partial: Partial) -> None:
        partial.remove()
        if self._job.in_place:
            with suppress(OSError):  # there is something else in it
                self._path.rmdir()

    def _named(
        self, partial: Partial, notes: Sequence[str], began: int, result: FileResult
    ) -> FileResult:
        """Gives the result its name, once it is on the disk and known to be done."""
        opening, end = partial.opening, partial.end
        assert opening is not None
        assert end is not None
        job, made = self._job, self._folder / JOINED
        if job.is_images:
            made = self._path if job.in_place else partial.images
        for path in [*made.iterdir()] if made.is_dir() else [made]:
            sync(path)
        state = state_of(made) or {}
        facts = {
            "frames": partial.frames,
            "bytes": state["bytes"],
            "size": f"{opening.input} -> {opening.width}x{opening.height}",
            "model": opening.model,
            "notes": tuple(notes),
            "damage": (*end.damage, *self._failures(partial.checkpoint.plain)),
            "plain": partial.checkpoint.plain,
            "moved": end.moved,
            "jumps": end.jumps,
        }
        said = said_of(job.source, job.output, self._identity, state, facts, state_of(self._path))
        self._shop.record.done(said, made)
        if not job.in_place:
            if self._path.is_dir() and job.is_images:
                self._path.rename(self._folder / FORMER)
            made.replace(self._path)
        sync(self._path.parent)
        return replace(result, state="done", upscaled=partial.frames - began, **facts)
