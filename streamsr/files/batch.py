"""Many files upscaled one after the other: each done whole, or left where it can go on."""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any

from streamsr.core.errors import OutputError, StreamsrError
from streamsr.core.events import Code, Emit, Event
from streamsr.core.settings import StreamSettings
from streamsr.files.half_done import folder_of, is_ours, remove_ours
from streamsr.files.identity import differences, identity_of
from streamsr.files.part import Stopped
from streamsr.files.plan import FileJob
from streamsr.files.record import Kept, state_of
from streamsr.files.upscaling import FileUpscaling
from streamsr.files.work import (
    FileResult,
    FileWork,
    Watcher,
    Workshop,
)
from streamsr.media.addresses import check_name

__all__ = ["Batch"]

logger = logging.getLogger("streamsr")


class Batch:
    """The jobs of one run. ``settings_of`` says how a job is done: its output below ``folder``."""

    def __init__(
        self,
        jobs: Sequence[FileJob],
        folder: Path,
        record: Kept,
        upscaling: FileUpscaling,
        settings_of: Callable[[FileJob], StreamSettings],
        watcher: Watcher,
        *,
        at_once: int = 1,
        stop: threading.Event | None = None,
        emit_of: Callable[[FileJob], Emit] | None = None,
    ) -> None:
        """``stop`` is set once what is done of a file is to stay, and the rest to be left.
        ``at_once``: files that are in work. ``emit_of`` says who is told what happens to a
        file; None: the watcher, each kind once."""
        self.stop = stop or threading.Event()
        self._jobs, self._folder, self._record = jobs, folder, record
        self._settings_of, self._watcher, self._at_once = settings_of, watcher, at_once
        emit_of = emit_of or (lambda job: _each_once(str(job.source), watcher.says))
        self._shop = Workshop(upscaling, record, watcher, self.stop, emit_of)

    def run(self) -> list[FileResult]:
        """Does the jobs, whatever becomes of each; returns the results of those that were begun."""
        if self._at_once == 1:
            results = [self._begun(number, job) for number, job in enumerate(self._jobs)]
        else:
            with ThreadPoolExecutor(self._at_once, "streamsr-file") as threads:
                results = list(threads.map(self._begun, range(len(self._jobs)), self._jobs))
        return [result for result in results if result is not None]

    def _begun(self, number: int, job: FileJob) -> FileResult | None:
        """Does a job, unless the run is to end."""
        if self.stop.is_set():
            return None
        self._watcher.begins(number, job)
        result = self._result(number, job)
        self._watcher.ends(number, result)
        return result

    def _result(self, number: int, job: FileJob) -> FileResult:
        began_s, result = monotonic(), self._nothing_of(job)
        try:
            made = self.made(number, job)
        except (StreamsrError, OSError) as error:
            made = replace(result, state="failed", why=str(error))
        except Exception as error:  # whatever a file brings about, the others are done
            logger.exception("%s: an unforeseen failure", job.source)
            made = replace(result, state="failed", why=f"{type(error).__name__}: {error}")
        return replace(made, elapsed_s=monotonic() - began_s)

    def made(self, number: int, job: FileJob) -> FileResult:
        """Does a job. Raises StreamsrError and OSError where it fails."""
        check_name(str(job.source))
        path, result = self._folder / job.output, self._nothing_of(job)
        settings = self._settings_of(job)
        identity = identity_of(job.source, settings)
        known = self._known(job, path, identity, settings)
        if known is not None:
            return replace(result, state="already done", **known)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"output {path}: cannot be written: {error.strerror}") from None
        self._record.begin(job.source, job.output)
        try:
            return FileWork(number, job, path, settings, identity, self._shop).done(result)
        except Stopped:
            return replace(result, state="stopped")

    def _nothing_of(self, job: FileJob) -> FileResult:
        return FileResult(input=str(job.source), output=str(self._folder / job.output), state="")

    def _known(
        self, job: FileJob, path: Path, identity: Mapping[str, Any], settings: StreamSettings
    ) -> dict[str, Any] | None:
        """What is known of an output that is done; None where there is something to do.

        Raises OutputError where there is another file of that name.
        """
        state, said = state_of(path), self._record.of(job.output)
        half_done = folder_of(path, inside=job.in_place)
        if state is None:
            return None
        if said is not None and said.get("state") == state:
            again = self._why_again(path, said, identity, settings)
            if again:
                self._watcher.says(f"{path}: it is made again: {again}")
                return None
            with suppress(OSError):
                remove_ours(half_done)  # a kill left it
            kept = said["result"]
            return {**kept, **{name: tuple(kept[name]) for name in ("notes", "damage")}}
        if job.in_place:
            return None  # whoever writes images there looks at what else there is
        if said is not None and said.get("replaces") == state and is_ours(half_done):
            return None  # killed before the new one got its name
        if not settings.output.overwrite:
            raise OutputError(
                f"output {path}: it exists already, and is not what streamsr wrote there; "
                "--overwrite replaces it"
            )
        return None

    def _why_again(
        self,
        path: Path,
        said: Mapping[str, Any],
        identity: Mapping[str, Any],
        settings: StreamSettings,
    ) -> str:
        """Says why an output that is done is made again; "" where it is not. Raises OutputError
        where it is not asked for."""
        overwrite, remakes = settings.output.overwrite, self._record.remakes
        changed = differences(said["identity"], identity)
        if changed and not (overwrite or remakes):
            raise OutputError(
                f"output {path}: it exists already, and was made otherwise: {changed}; "
                "--overwrite makes it again"
            )
        if not changed and said["result"].get("plain"):
            return "the network failed on some of its frames"
        if not changed and overwrite and not (remakes or self._record.is_half_done):
            return "--overwrite asks for it"
        return changed


def _each_once(source: str, says: Callable[[str], None]) -> Emit:
    told: set[Code] = set()

    def tell(event: Event) -> None:
        if event.code not in told:
            says(f"{source}: {event.text}")
        told.add(event.code)

    return tell
