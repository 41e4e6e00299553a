"""What a stream counts and measures while it runs."""

import math
import threading
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic, thread_time

from streamsr.core.status import Counts

__all__ = ["Meter", "quantile"]

LATENCIES_KEPT = 4096  # the newest, for the quantiles
FPS_SPAN_S = 5.0
MEASURED_S = 1.0


def quantile(values: list[float], share: float) -> float | None:
    """Returns the value that ``share`` of ``values`` do not exceed (nearest rank); None of none."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


class Meter:
    """Counters and stopwatches of one stream. Any thread may call any method."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._latencies: deque[float] = deque(maxlen=LATENCIES_KEPT)
        # moments, and the seconds of cores and of a GPU that had been spent by each
        self._departures: deque[tuple[float, float, float]] = deque(maxlen=512)
        self._cpu_s: dict[str, float] = {}  # by stage
        self._gpu_s = 0.0
        self._begun = self._first_out = self._last_out = 0.0  # monotonic
        self.input = ""  # "320x180"; "" before the first frame
        self.output = ""

    def count(self, name: str, by: int = 1) -> None:
        """Adds to a counter."""
        with self._lock:
            self._counts[name] += by

    def __getitem__(self, name: str) -> int:
        """Returns what a counter stands at; 0 for one that was never counted."""
        return self._counts[name]

    def counts(self, full: int) -> Counts:
        """Returns what was counted, and ``full`` frames that were dropped for want of room."""
        dropped_by = {"late": self["late"], "full": full, "lost": self["lost"]}
        return Counts(
            dropped_by=dropped_by,
            frames_dropped=sum(dropped_by.values()),
            frames_out=self["out"],
            frames_in=self["in"],  # after the others: it never falls short of their sum
            frames_held=self["held"],
            audio_dropped=self["audio_dropped"],
            reconnects=self["reconnects"],
            time_jumps=self["time_jumps"],
            encoder_faults=self["encoder_faults"],
            moved=self["moved"],
        )

    def begin(self) -> None:
        """States that the first frame is about to be upscaled; later calls do nothing."""
        self._begun = self._begun or monotonic()

    def left(self, arrived: float, size: str) -> None:
        """Counts a frame that has left, encoded, in ``size``; ``arrived`` is monotonic."""
        now = monotonic()
        with self._lock:
            self._counts["out"] += 1
            self._latencies.append((now - arrived) * 1e3)
            self._departures.append((now, sum(self._cpu_s.values()), self._gpu_s))
            self._first_out = self._first_out or now
            self._last_out = now
            self.output = size

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Charges the calling thread's CPU time to a stage."""
        start = thread_time()
        try:
            yield
        finally:
            self.charge(name, thread_time() - start)

    def charge(self, name: str, spent_s: float) -> None:
        """Charges CPU time to a stage."""
        with self._lock:
            self._cpu_s[name] = self._cpu_s.get(name, 0.0) + spent_s

    def charge_gpu(self, spent_s: float) -> None:
        """Charges time of a GPU."""
        with self._lock:
            self._gpu_s += spent_s

    def takes_ms(self) -> tuple[float, float]:
        """Returns what it takes of cores, as far as its own threads do, and of a GPU, in
        milliseconds a second, over the last seconds; 0 in the first, when frames come in bursts."""
        recent = self._recent()
        if not recent or recent[-1][0] - recent[0][0] < MEASURED_S:
            return 0.0, 0.0
        (began, *before), (ended, *after) = recent[0], recent[-1]
        cpu, gpu = ((b - a) * 1e3 / (ended - began) for a, b in zip(before, after, strict=True))
        return cpu, gpu

    def cpu_ms(self) -> dict[str, float]:
        """Returns CPU milliseconds a frame that left, by stage."""
        with self._lock:
            frames = max(1, self._counts["out"])
            return {name: spent * 1e3 / frames for name, spent in self._cpu_s.items()}

    def latency_ms(self) -> tuple[float | None, float | None]:
        """Returns the median and the 99th percentile of the newest latencies."""
        with self._lock:
            latencies = list(self._latencies)
        return quantile(latencies, 0.5), quantile(latencies, 0.99)

    def fps(self) -> float:
        """Returns frames a second over the last seconds."""
        recent = self._recent()
        if len(recent) < 2:
            return 0.0
        return (len(recent) - 1) / max(recent[-1][0] - recent[0][0], 1e-9)

    def _recent(self) -> list[tuple[float, float, float]]:
        """The departures of the last seconds."""
        now = monotonic()
        with self._lock:
            return [one for one in self._departures if now - one[0] <= FPS_SPAN_S]

    def throughput(self) -> float:
        """Returns frames a second from when the first was begun until the last left."""
        with self._lock:
            spent, frames = self._last_out - self._begun, self._counts["out"]
        return frames / spent if frames and self._begun and spent > 0 else 0.0

    def mean_fps(self) -> float:
        """Returns frames a second between the first frame that left and the last: the rate of what
        comes in real time, however long its first frame took."""
        with self._lock:
            span, frames = self._last_out - self._first_out, self._counts["out"]
        return (frames - 1) / span if frames > 1 and span > 0 else 0.0
