"""Where a file is cut into parts, and what each needs to know of the frames before it.

A part begins where a segment of the result does, and with it an encoder; a host reads some frames
before it again, so that its network has seen what it would have seen in one go. Pure: knows no
file, clock or Ray.
"""

from collections import deque
from dataclasses import dataclass

from streamsr.core.frame import Frame
from streamsr.core.settings import StreamSettings
from streamsr.files.checkpoint import Checkpoint
from streamsr.files.identity import models_of
from streamsr.files.part import DETACHED
from streamsr.files.passage import Marks
from streamsr.files.span import Span
from streamsr.pipeline.keyframe_flicker import FlickerFilter, FlickerState
from streamsr.zoo.card import Card

__all__ = ["MOST_KEPT", "Divider", "FilePart", "warm_up_of"]

MOST_KEPT = 256  # frames before a part among which one is looked for where nothing is held back
WITHOUT_MEMORY = ("edvr", "fast", "resample")  # networks of windows


@dataclass(frozen=True, slots=True, eq=False)
class FilePart:
    """A span of a file's frames that one task upscales."""

    begin: Checkpoint  # without tensors: a few numbers
    after: Checkpoint  # likewise

    @property
    def frames(self) -> int:
        return self.after.frames - self.begin.frames

    @property
    def name(self) -> str:
        """Its name among the file's parts, in their order."""
        return f"{self.begin.frames:09d}-{self.frames}"


class Divider:
    """Takes the frames of a file in order, and says where parts end."""

    def __init__(self, span: Span, warm_up: int, done: int, marks: Marks) -> None:
        """``span``: how many segments a part has. The first part begins after ``done`` frames.
        ``marks``: of the frames that it takes, ``MOST_KEPT`` and one."""
        self._span, self._warm_up, self._done = span, warm_up, done
        self._filter, self._marks = FlickerFilter(), marks
        self._states: deque[tuple[int, FlickerState]] = deque(maxlen=MOST_KEPT)  # before frames
        self._segment: int | None = None  # of the newest frame
        self._segments = 0  # of the part that have ended
        self._begin: Checkpoint | None = None  # of the part
        self.frames = 0  # that were taken

    def take(self, frame: Frame) -> FilePart | None:
        """Takes the next frame; returns the part that has ended before it."""
        part = self._part_before(frame)
        self._marks.note(frame)
        return part

    def _part_before(self, frame: Frame) -> FilePart | None:
        number, self.frames = self.frames, self.frames + 1
        state = self._filter.state
        if state.held is None:
            self._states.append((number, state))
        self._filter.steadied(frame)
        before, self._segment = self._segment, self._span.segment_of(frame)
        if number < self._done:
            return None
        if self._begin is None:
            self._begin = self._checkpoint(number, frame)
        elif before != self._segment:
            self._segments += 1
        if self._segments != self._span.segments:
            return None
        begin, self._begin, self._segments = self._begin, self._checkpoint(number, frame), 0
        return FilePart(begin, self._begin)

    def rest(self) -> FilePart | None:
        """Returns the last part, once there are no more frames."""
        return None if self._begin is None else FilePart(self._begin, Checkpoint(self.frames))

    def _checkpoint(self, number: int, frame: Frame) -> Checkpoint:
        """Returns the state before a frame, to be reached from one before which no pixel is held
        back, as pixels do not go through Ray."""
        enough = [found for found in self._states if found[0] <= number - self._warm_up]
        first, state = enough[-1] if enough else (0, FlickerState())
        passage = self._marks.before(number - first)
        return Checkpoint(number, 0, number - first, state, (), frame.time_s, passage=passage)


def warm_up_of(settings: StreamSettings) -> int:
    """Returns how many frames before a part its network sees again. Raises ModelError."""
    return max((_frames_of(entry.card) for _, entry in models_of(settings)), default=DETACHED)


def _frames_of(card: Card) -> int:
    return card.facts.window if card.network in WITHOUT_MEMORY else DETACHED
