"""What a stream counts and measures while it runs, and the summary it ends with."""

import math
import threading
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from time import monotonic, thread_time
from typing import Any

__all__ = ["Meter", "Summary", "quantile"]

LATENCIES_KEPT = 4096  # the newest, for the quantiles
FPS_SPAN_S = 5.0


def quantile(values: list[float], share: float) -> float | None:
    """The value that ``share`` of ``values`` do not exceed (nearest rank); None of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


@dataclass(frozen=True, slots=True)
class Summary:
    """One stream's result, as ``--json`` prints it."""

    name: str
    frames_in: int
    frames_out: int
    frames_dropped: int
    frames_held: int  # repeated while the source was down
    fps: float
    latency_ms: dict[str, float | None]
    model: str
    device: str
    reconnects: int
    input: str
    output: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


class Meter:
    """Counters and stopwatches of one stream. Any thread may call any method."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._latencies: deque[float] = deque(maxlen=LATENCIES_KEPT)
        self._departures: deque[float] = deque(maxlen=512)
        self._cpu_s: dict[str, float] = {}  # by stage
        self._first_out = self._last_out = 0.0
        self.input = ""  # "320x180"
        self.output = ""

    def count(self, name: str, by: int = 1) -> None:
        with self._lock:
            self._counts[name] += by

    def __getitem__(self, name: str) -> int:
        return self._counts[name]

    def left(self, arrived: float, size: str) -> None:
        """Note that the frame that arrived at ``arrived`` has left, encoded, at ``size``."""
        now = monotonic()
        with self._lock:
            self._counts["out"] += 1
            self._latencies.append((now - arrived) * 1e3)
            self._departures.append(now)
            self._first_out = self._first_out or now
            self._last_out = now
            self.output = size

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Charge the calling thread's CPU time to a stage."""
        start = thread_time()
        try:
            yield
        finally:
            self.charge(name, thread_time() - start)

    def charge(self, name: str, spent_s: float) -> None:
        """Charge CPU time to a stage."""
        with self._lock:
            self._cpu_s[name] = self._cpu_s.get(name, 0.0) + spent_s

    def cpu_ms(self) -> dict[str, float]:
        """CPU milliseconds a frame that left, by stage."""
        with self._lock:
            frames = max(1, self._counts["out"])
            return {name: spent * 1e3 / frames for name, spent in self._cpu_s.items()}

    def latency_ms(self) -> dict[str, float | None]:
        with self._lock:
            latencies = list(self._latencies)
        return {"p50": quantile(latencies, 0.5), "p99": quantile(latencies, 0.99)}

    def fps(self) -> float:
        """Frames a second over the last seconds."""
        now = monotonic()
        with self._lock:
            recent = [t for t in self._departures if now - t <= FPS_SPAN_S]
        if len(recent) < 2:
            return 0.0
        return (len(recent) - 1) / max(recent[-1] - recent[0], 1e-9)

    def mean_fps(self) -> float:
        """Frames a second between the first frame that left and the last."""
        with self._lock:
            span, frames = self._last_out - self._first_out, self._counts["out"]
        return (frames - 1) / span if frames > 1 and span > 0 else 0.0

    def summary(self, name: str, model: str, device: str) -> Summary:
        return Summary(
            name=name,
            frames_in=self["in"],
            frames_out=self["out"],
            frames_dropped=self["dropped"],
            frames_held=self["held"],
            fps=round(self.mean_fps(), 2),
            latency_ms={k: v and round(v, 1) for k, v in self.latency_ms().items()},
            model=model,
            device=device,
            reconnects=self["reconnects"],
            input=self.input,
            output=self.output,
        )
