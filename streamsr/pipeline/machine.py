"""What this machine holds: the cost of a stream's path beside its network, measured once."""

from fractions import Fraction
from functools import partial
from time import process_time, thread_time

import torch

from streamsr.core.frame import ColourTags, Frame
from streamsr.core.settings import EncoderSettings, RecordSettings
from streamsr.engine.engines import Engines
from streamsr.engine.resample import resize_frame
from streamsr.media.encoder import VideoEncoder
from streamsr.media.encoder_options import filled, for_recordings, is_for_recordings
from streamsr.sources.demo import Scene
from streamsr.sources.timing.clock_sync import TICKS
from streamsr.zoo.card import Precision
from streamsr.zoo.registry import Entry, members

__all__ = ["Machine", "try_machine"]

WIDTH, HEIGHT = 640, 360  # pixels of the path's trial
FRAMES = 6
SHRINK = 4  # its input is so many times smaller


class Machine:
    """The cores of this process and what streams cost on them, by short trials kept in a file.

    ``encoder`` are settings that are ``filled``: left out, those of what is live. ``record`` are
    those of a recorder, which may be switched on at any time. ``precision`` is what networks
    compute in; left out, what takes least. Costs are those of the CPU's encoder, which takes over
    where a hardware one fails.
    """

    def __init__(
        self,
        engines: Engines,
        encoder: EncoderSettings | None = None,
        record: RecordSettings | None = None,
        precision: Precision | None = None,
    ) -> None:
        self._engines = engines
        self._precision = precision
        encoder = encoder or filled(EncoderSettings())
        self._encoder = encoder.model_copy(update={"hardware": "off"})
        besides = record is not None and not is_for_recordings(self._encoder, record)
        self._record = record if besides else None

    @property
    def cores(self) -> int:
        return self._engines.cores

    @property
    def streams(self) -> int:
        """How many streams that cannot wait share the machine, as far as this process knows."""
        return max(1, self._engines.sharing)

    @property
    def threads(self) -> int:
        return 1 if self.on_gpu else self._engines.workers

    @property
    def on_gpu(self) -> bool:
        """Whether networks run beside the cores, not on them."""
        return self._engines.device.type != "cpu"

    def network_ms(self, entry: Entry, width: int, height: int) -> float:
        """Returns what the network of a model takes for a frame. Raises ModelError."""
        return self._engines.speed.seconds_a_pixel(entry, self._precision) * width * height * 1e3

    def path_ms(self, width: int, height: int) -> float:
        """Returns what the rest of the path takes for a result of that size: chroma, the encoders
        and what lies between."""
        encoder = self._encoder
        kind = "" if encoder.low_delay else " of a file"
        recording = for_recordings(self._record, WIDTH, HEIGHT) if self._record else None
        besides = f" and {recording.preset} for recordings" if recording else ""
        seconds = self._engines.measured.of(
            f"path{kind} in {encoder.codec} {encoder.preset}{besides}, seconds a pixel",
            partial(_path_seconds_a_pixel, encoder, recording),
        )
        return seconds * width * height * 1e3


def try_machine(device: str, model: str, scale: int) -> tuple[float, float]:
    """Returns what a pixel of a network's input takes of ``device``, and one of a result takes of
    the cores beside it, in seconds. Raises ModelError."""
    with Engines(torch.device(device)) as engines:
        machine = Machine(engines)
        return machine.network_ms(members(model)[scale], 1, 1) / 1e3, machine.path_ms(1, 1) / 1e3


def _path_seconds_a_pixel(settings: EncoderSettings, recording: EncoderSettings | None) -> float:
    scene = Scene(WIDTH // SHRINK, HEIGHT // SHRINK)
    rate = Fraction(scene.rate)
    encoder: VideoEncoder | None = None
    recorder: VideoEncoder | None = None
    spent, began_file_s = [], process_time()
    for number in range(FRAMES):
        pts = round(number / rate / TICKS)
        frame = Frame(scene.frame(number), ColourTags(1, 1, 1), pts, TICKS)
        began_s = thread_time()
        result = resize_frame(frame, WIDTH, HEIGHT)
        encoder = encoder or VideoEncoder(settings, result, rate, Fraction(1))
        encoder.encode(result)
        if recording is not None:
            recorder = recorder or VideoEncoder(recording, result, rate, Fraction(1))
            recorder.encode(result)
        spent.append(thread_time() - began_s)
    if settings.low_delay or encoder is None:
        return min(spent) / (WIDTH * HEIGHT)  # what else runs only adds to it
    encoder.flush()  # it has threads of its own, and waits for frames to come
    return (process_time() - began_file_s) / FRAMES / (WIDTH * HEIGHT)
