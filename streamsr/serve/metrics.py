"""What Prometheus reads at /metrics: made of the streams' statuses at each scrape, kept nowhere."""

from collections.abc import Callable, Iterable, Mapping

from aiohttp import web
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from streamsr.core.events import Code
from streamsr.core.redact import redact
from streamsr.core.status import OutputState, OutputStatus, StreamState, StreamStatus
from streamsr.ipc.frame_traces import FrameTraces
from streamsr.serve.access.refusals import Refusals
from streamsr.serve.access.secrets import Secrets
from streamsr.serve.live.socket import LiveSockets
from streamsr.serve.served import Served
from streamsr.serve.webrtc.viewer_session import ViewerSessions

__all__ = ["Metrics"]

OTHER = "other"  # cause of the drops for which the stream names none
FACTS = ("model", "wanted", "device", "input", "output")
COUNTERS = (  # name without streamsr_ and _total, text, labels
    ("frames_in", "Frames the source delivered", ["stream"]),
    ("frames_out", "Frames sent upscaled", ["stream"]),
    ("frames_dropped", "Frames given up, by cause", ["stream", "cause"]),
    ("frames_held", "Frames sent again while none came", ["stream"]),
    ("audio_dropped", "Pieces of audio given up", ["stream"]),
    ("reconnects", "Times the source was lost", ["stream"]),
    ("encoder_faults", "Times an encoder failed and was begun again", ["stream"]),
    ("self_checks", "Self-checks by how they ended", ["stream", "result"]),
    ("output_dropped_packets", "Packets it was too slow for", ["stream", "output"]),
    ("output_restarts", "Times its process was started again", ["stream", "output"]),
    ("viewer_dropped_packets", "Packets not sent to viewers", ["stream"]),
    ("events", "What happened, by the code in the log", ["code"]),
    ("refused_requests", "Requests refused, by why: wrong tokens and others", ["reason"]),
)
GAUGES: tuple[tuple[str, str, list[str]], ...] = (
    ("stream_up", "1 while the source delivers", ["stream"]),
    ("stream_info", "1, with what runs now as labels", ["stream", *FACTS]),
    ("frames_per_second", "Frames sent over the last seconds", ["stream"]),
    ("latency_seconds", "From a frame's last packet to its encoded packet", ["stream", "quantile"]),
    ("self_check_gain_db", "Luma PSNR over bicubic's on frames shrunk and enlarged", ["stream"]),
    ("self_check_loses", "1 while the wanted model is worse than bicubic", ["stream"]),
    ("output_up", "1 while it is written", ["stream", "output"]),
    ("viewers", "WebRTC sessions and WebSockets now", ["stream"]),
    ("certificate_ends_timestamp_seconds", "Until when it holds, by Unix time", []),
)


class Metrics(Collector):
    """The handler of /metrics."""

    def __init__(
        self,
        streams: Mapping[str, Served],
        sessions: ViewerSessions,
        sockets: LiveSockets,
        events: Callable[[], Mapping[Code, int]],
        refusals: Refusals,
        secrets: Secrets,
    ) -> None:
        self._streams = streams
        self._sessions = sessions
        self._sockets = sockets
        self._events = events
        self._refusals = refusals
        self._secrets = secrets
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/metrics", self.scrape)]

    async def scrape(self, request: web.Request) -> web.Response:
        """Returns all metrics, in the text format that the client prefers."""
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        body = encode(self._registry)
        return web.Response(body=body, headers={"Content-Type": content_type})

    def collect(self) -> Iterable[Metric]:
        samples = _Samples()
        for name, served in dict(self._streams).items():
            samples.add_stream(name, served.status())
            samples.add_traces(name, served.broadcaster.traces)
            for output in served.outputs():
                samples.add_output(name, output)
            viewers = self._sessions.watching(name) + self._sockets.watching(name)
            samples.add("viewers", viewers, name)
            samples.add("viewer_dropped_packets", self._sessions.dropped(name), name)
        for code, count in self._events().items():
            samples.add("events", count, code.value)
        for reason, count in self._refusals.counts.items():
            samples.add("refused_requests", count, reason.value)
        if self._secrets.certificate is not None:
            ends = self._secrets.certificate.ends.timestamp()
            samples.add("certificate_ends_timestamp_seconds", ends)
        return [*samples.families.values(), samples.legs]


class _Samples:
    """The values of one scrape."""

    def __init__(self) -> None:
        self.families: dict[str, CounterMetricFamily | GaugeMetricFamily] = {
            name: kind(f"streamsr_{name}", f"{text}.", labels=labels)
            for kind, table in ((CounterMetricFamily, COUNTERS), (GaugeMetricFamily, GAUGES))
            for name, text, labels in table
        }
        self.legs = HistogramMetricFamily(
            "streamsr_frame_seconds",
            "Of a frame's way to viewers, by leg: camera, engine, encoder, sending, shown (as "
            "browsers say); and the whole from its last packet to when it is sent",
            labels=["stream", "leg"],
        )

    def add(self, family: str, value: float, *labels: str) -> None:
        self.families[family].add_metric([redact(label) for label in labels], value)

    def add_stream(self, name: str, status: StreamStatus) -> None:
        """Rate, latency and gain are a live stream's: others have none."""
        live = status.state == StreamState.LIVE
        self.add("frames_in", status.frames_in, name)
        self.add("frames_out", status.frames_out, name)
        for cause, count in _drops(status).items():
            self.add("frames_dropped", count, name, cause)
        self.add("frames_held", status.frames_held, name)
        self.add("audio_dropped", status.audio_dropped, name)
        self.add("reconnects", status.reconnects, name)
        self.add("encoder_faults", status.encoder_faults, name)
        self.add("stream_up", live, name)
        self.add("stream_info", 1, name, *(getattr(status, fact) for fact in FACTS))
        self.add("frames_per_second", status.fps if live else 0, name)
        for quantile, ms in (("0.5", status.latency_p50_ms), ("0.99", status.latency_p99_ms)):
            if live and ms is not None:
                self.add("latency_seconds", ms / 1000, name, quantile)
        for result, count in status.self_checks.items():
            self.add("self_checks", count, name, result)
        if status.self_checks:
            self.add("self_check_loses", status.self_check_loses, name)
        if live and status.self_check_gain_db is not None:
            self.add("self_check_gain_db", status.self_check_gain_db, name)

    def add_traces(self, stream: str, traces: FrameTraces) -> None:
        for leg, taken in traces.legs.items():
            self.legs.add_metric([redact(stream), leg.value], taken.buckets(), taken.total_s)

    def add_output(self, stream: str, output: OutputStatus) -> None:
        self.add("output_up", output.state == OutputState.UP, stream, output.name)
        self.add("output_dropped_packets", output.dropped, stream, output.name)
        self.add("output_restarts", output.restarts, stream, output.name)


def _drops(status: StreamStatus) -> dict[str, int]:
    """Returns the dropped frames by cause; together they are ``frames_dropped``."""
    known = dict(status.dropped_by)
    rest = status.frames_dropped - sum(known.values())
    return known | {OTHER: known.get(OTHER, 0) + max(0, rest)}
