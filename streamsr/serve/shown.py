"""What a viewer's browser says of the frames that it shows."""

from typing import Annotated

from pydantic import Field

from streamsr.core.config import Settings
from streamsr.ipc.frame_traces import FrameTraces

__all__ = ["LONGEST_S", "MOST", "ShownFrames", "ShownReport"]

MOST = 100  # frames in one report: the newest of a second or two
LONGEST_S = 60.0
EVERY_S = 0.5  # at least, between two reports of one viewer


class ShownReport(Settings):
    """How long frames took from where they were sent to where they were shown, in seconds."""

    shown_s: tuple[Annotated[float, Field(ge=0, le=LONGEST_S, strict=True)], ...] = Field(
        min_length=1, max_length=MOST
    )


class ShownFrames:
    """Takes one viewer's reports. They are bounded in value and number: nothing of it is kept."""

    def __init__(self, traces: FrameTraces) -> None:
        self._traces = traces
        self._taken_s = float("-inf")  # when the newest report was

    def take(self, text: str, now_s: float) -> bool:
        """Counts a report, JSON of a ShownReport; False: it came too soon after the one before.

        Raises ValueError where it is none.
        """
        if now_s < self._taken_s + EVERY_S:
            return False
        self._taken_s = now_s
        self._traces.note_shown(ShownReport.model_validate_json(text).shown_s)
        return True
