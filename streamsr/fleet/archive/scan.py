"""A file read once by the driver: where its parts begin, and how it ends."""

import threading
from collections.abc import Iterator

from streamsr.core.frame import Frame
from streamsr.files.checkpoint import End
from streamsr.files.passage import Marks
from streamsr.files.span import Read, Span
from streamsr.files.upscaling import HalfDone
from streamsr.fleet.archive.parts import MOST_KEPT, Divider, FilePart
from streamsr.pipeline.build import coded_bits
from streamsr.sources.opening import open_source

__all__ = ["Scan"]


class Scan:
    """One reading of a file."""

    def __init__(self, file: HalfDone, span: Span, warm_up: int) -> None:
        self._file, self._span = file, span
        settings = file.settings
        self._source = open_source(settings.input, file.hear, coded_bits(settings))
        marks = Marks(self._source, MOST_KEPT + 1)
        self._divider = Divider(span, warm_up, file.partial.frames, marks)
        self.known: int | None = None  # that the file says it has
        self.end: End | None = None  # once it is read

    def parts(self, ending: threading.Event) -> Iterator[FilePart]:
        """Yields the parts that are not done, each once its end is known. Ends early once
        ``ending`` is set. Raises InputError."""
        read, until_s = Read(self._source), None
        for item in self._source.items(ending):
            read.note(item)
            if not isinstance(item, Frame):
                self._look(read)
                continue
            if self._span.is_past(item, self._divider.frames):
                until_s = item.time_s
                break
            if part := self._divider.take(item):
                yield part
        if ending.is_set():
            return
        if part := self._divider.rest():
            yield part
        self.end = read.end(until_s, self._divider.frames, self._file.hear.damage())

    @property
    def frames(self) -> int:
        """How many frames were read so far."""
        return self._divider.frames

    def _look(self, read: Read) -> None:
        most = self._file.settings.limits.frames
        known = [n for n in (read.info.frames if read.info else None, most) if n is not None]
        self.known = min(known, default=None)
