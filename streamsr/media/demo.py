"""The built-in camera: the project's own scene, live at its rate, with audio."""

import threading
from collections.abc import Iterator
from fractions import Fraction
from time import monotonic

import av

from streamsr.core.clock_sync import TICKS
from streamsr.core.frame import ColourTags, Frame
from streamsr.media.scene import AUDIO_RATE, Scene
from streamsr.media.source import AudioFrame, Item, SourceInfo

__all__ = ["DemoSource"]


class DemoSource:
    """Delivers frame ``n`` of the scene ``n / rate`` seconds after it was opened."""

    live = True
    name = "demo"
    reconnects = 0
    down = False

    def __init__(self, scene: Scene | None = None) -> None:
        self._scene = scene  # None: opened once it is wanted

    def items(self, stop: threading.Event) -> Iterator[Item]:
        scene = self._scene or Scene()
        rate = Fraction(scene.rate)
        yield SourceInfo(
            width=scene.width,
            height=scene.height,
            rate=rate,
            sample_aspect=Fraction(1),
            codec="rawvideo",
            pixel_format="yuv420p",
            audio_codec="pcm_s16le",
        )
        start, number = monotonic(), 0
        while not stop.wait(max(0.0, start + float(number / rate) - monotonic())):
            time_s = float(number / rate)
            yield Frame(
                planes=scene.frame(number),
                colour=ColourTags(1, 1, 1),
                pts=round(time_s / TICKS),
                time_base=TICKS,
                arrived=monotonic(),
                discontinuous=number == 0,
            )
            samples = av.AudioFrame.from_ndarray(scene.audio(number)[None], "s16", "mono")
            samples.sample_rate = AUDIO_RATE
            yield AudioFrame(time_s, "pcm_s16le", samples=samples)
            number += 1
