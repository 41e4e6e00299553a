"""An encoder of this build that stands for hardware, and one that fails in mid stream."""

from typing import Any

import av

from streamsr.media.hardware.encoders import PRESETS, HardwareEncoder, Wording

__all__ = ["RIGHT", "X264", "FailingContext"]

X264 = Wording(
    quality={"crf": "{crf}"},
    rate={},
    live={"tune": "zerolatency"},
    kept={"bf": "{bf}"},
    always={"forced-idr": "1"},
    preset="preset",
    presets=dict(zip(PRESETS, PRESETS, strict=True)),
)
RIGHT = HardwareEncoder("h264_right", "h264", X264, formats=("nv12", ""), library="libx264")


class FailingContext:
    """An encoder that fails at its nth frame: a library does of want of memory, hardware where a
    driver is reset."""

    def __init__(self, context: av.VideoCodecContext, fails_at: int) -> None:
        self._context, self._left = context, fails_at

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def encode(self, frame: av.VideoFrame | None) -> list[av.Packet]:
        self._left -= 1
        if self._left == 0:
            raise av.error.MemoryError(12, "Cannot allocate memory")
        return self._context.encode(frame)
