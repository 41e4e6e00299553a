"""What Prometheus reads at /metrics: made of the streams' statuses at each scrape, kept nowhere."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from aiohttp import web
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from streamsr.core.events import Code
from streamsr.core.redact import redact
from streamsr.core.status import OutputState, OutputStatus, StreamState, StreamStatus
from streamsr.serve.served import Served
from streamsr.serve.viewer_session import ViewerSessions

__all__ = ["Metrics"]

Events = Callable[[], Mapping[Code, int]]
Row = tuple[Sequence[str], float]  # label values, value
OTHER = "other"  # cause of the drops for which the stream names none


class Metrics:
    """The handler of /metrics."""

    def __init__(
        self, streams: Mapping[str, Served], sessions: ViewerSessions, events: Events
    ) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_Streams(streams, sessions, events))
        ProcessCollector(registry=self._registry)

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/metrics", self.scrape)]

    async def scrape(self, request: web.Request) -> web.Response:
        """All metrics, in the text format that the client prefers."""
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        body = encode(self._registry)
        return web.Response(body=body, headers={"Content-Type": content_type})


class _Streams(Collector):
    """The metrics of all streams."""

    def __init__(
        self, streams: Mapping[str, Served], sessions: ViewerSessions, events: Events
    ) -> None:
        self._streams = streams
        self._sessions = sessions
        self._events = events

    def collect(self) -> Iterator[Metric]:
        served = dict(self._streams)
        statuses = {name: one.status() for name, one in served.items()}
        outputs = [(name, output) for name, one in served.items() for output in one.outputs()]
        viewers = [((name,), self._sessions.watching(name)) for name in served]
        dropped = [((name,), self._sessions.dropped(name)) for name in served]
        events = [((code.value,), count) for code, count in self._events().items()]
        yield from _counts(statuses)
        yield from _measures(statuses)
        yield from _self_checks(statuses)
        yield from _outputs(outputs)
        yield _gauge("viewers", "WebRTC sessions now", ["stream"], viewers)
        yield _counter("viewer_dropped_packets", "Packets not sent to viewers", ["stream"], dropped)
        yield _counter("events", "What happened, by the code in the log", ["code"], events)


def _counts(statuses: Mapping[str, StreamStatus]) -> Iterator[Metric]:
    def rows(value: Callable[[StreamStatus], float]) -> list[Row]:
        return [((name,), value(status)) for name, status in statuses.items()]

    drops = [
        ((name, cause), count)
        for name, status in statuses.items()
        for cause, count in _drops(status).items()
    ]
    label = ["stream"]
    yield _counter("frames_in", "Frames the source delivered", label, rows(lambda s: s.frames_in))
    yield _counter("frames_out", "Frames sent upscaled", label, rows(lambda s: s.frames_out))
    yield _counter("frames_dropped", "Frames given up, by cause", ["stream", "cause"], drops)
    yield _counter("reconnects", "Times the source was lost", label, rows(lambda s: s.reconnects))


def _measures(statuses: Mapping[str, StreamStatus]) -> Iterator[Metric]:
    """What goes up and down. Rate and latency are a live stream's: others have none."""
    label = ["stream"]
    up = [((n,), float(s.state == StreamState.LIVE)) for n, s in statuses.items()]
    rates = [((n,), s.fps if s.state == StreamState.LIVE else 0.0) for n, s in statuses.items()]
    latencies = [
        ((name, quantile), value / 1000)
        for name, status in statuses.items()
        for quantile, value in (("0.5", status.latency_p50_ms), ("0.99", status.latency_p99_ms))
        if value is not None and status.state == StreamState.LIVE
    ]
    kinds = ["stream", "model", "wanted", "device", "input", "output"]
    facts = [
        ((name, *(getattr(status, kind) for kind in kinds[1:])), 1.0)
        for name, status in statuses.items()
    ]
    yield _gauge("stream_up", "1 while the source delivers", label, up)
    yield _gauge("frames_per_second", "Frames sent over the last seconds", label, rates)
    help_text = "From a frame's last packet in to its encoded packet out"
    yield _gauge("latency_seconds", help_text, ["stream", "quantile"], latencies)
    yield _gauge("stream_info", "1, with what runs now as labels", kinds, facts)


def _self_checks(statuses: Mapping[str, StreamStatus]) -> Iterator[Metric]:
    """What the network is worth on the stream. A gain is a live stream's: others have none."""
    gains = [
        ((name,), status.self_check_gain_db)
        for name, status in statuses.items()
        if status.self_check_gain_db is not None and status.state == StreamState.LIVE
    ]
    loses = [((n,), float(s.self_check_loses)) for n, s in statuses.items() if s.self_checks]
    checks = [
        ((name, result), count)
        for name, status in statuses.items()
        for result, count in status.self_checks.items()
    ]
    label = ["stream"]
    text = "Luma PSNR over bicubic's on a frame shrunk and upscaled again"
    yield _gauge("self_check_gain_db", text, label, gains)
    yield _gauge("self_check_loses", "1 while worse than bicubic for long", label, loses)
    yield _counter("self_checks", "Self-checks by how they ended", ["stream", "result"], checks)


def _outputs(outputs: Sequence[tuple[str, OutputStatus]]) -> Iterator[Metric]:
    def rows(value: Callable[[OutputStatus], float]) -> list[Row]:
        return [((name, output.name), value(output)) for name, output in outputs]

    labels = ["stream", "output"]
    up, dropped, restarts = "output_up", "output_dropped_packets", "output_restarts"
    yield _gauge(up, "1 while it is written", labels, rows(lambda o: o.state == OutputState.UP))
    yield _counter(dropped, "Packets it was too slow for", labels, rows(lambda o: o.dropped))
    yield _counter(
        restarts, "Times its process was started again", labels, rows(lambda o: o.restarts)
    )


def _drops(status: StreamStatus) -> dict[str, int]:
    """The dropped frames by cause; together they are ``frames_dropped``."""
    known = dict(status.dropped_by)
    rest = status.frames_dropped - sum(known.values())
    return known | {OTHER: known.get(OTHER, 0) + max(0, rest)}


def _counter(name: str, text: str, labels: Sequence[str], rows: Iterable[Row]) -> Metric:
    return _filled(CounterMetricFamily(f"streamsr_{name}", f"{text}.", labels=labels), rows)


def _gauge(name: str, text: str, labels: Sequence[str], rows: Iterable[Row]) -> Metric:
    return _filled(GaugeMetricFamily(f"streamsr_{name}", f"{text}.", labels=labels), rows)


def _filled(family: CounterMetricFamily | GaugeMetricFamily, rows: Iterable[Row]) -> Metric:
    for labels, value in rows:
        family.add_metric([redact(label) for label in labels], value)
    return family
