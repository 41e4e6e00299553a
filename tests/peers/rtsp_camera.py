"""An RTSP camera: serves a clip indefinitely at ``/cam``, in real time, over TCP and UDP.

A script for the system's python3, which has gst-rtsp-server; it imports nothing of the project.
The clip is demuxed once. Its packets then go to every client with time stamps of their own,
since looping a file source would set them back. All clients are on one timeline, but each begins
at a keyframe without waiting for the next. Nothing is decoded or encoded here.
"""

import argparse
import sys
import threading
import time
from dataclasses import dataclass
from typing import TextIO

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402

DEMUXERS = {".mp4": "qtdemux", ".mkv": "matroskademux"}
# The parser puts SPS and PPS before each keyframe. A payloader with config-interval=-1 would put
# them before each *slice* of it, which makes FFmpeg take every slice for a frame of its own.
PARSERS = {  # pad caps: parser, its output, payloader
    "video/x-h264": (
        "h264parse config-interval=-1",
        "video/x-h264,stream-format=avc,alignment=au",
        "rtph264pay config-interval=0 aggregate-mode=zero-latency",
    ),
    "video/x-h265": (
        "h265parse config-interval=-1",
        "video/x-h265,stream-format=hvc1,alignment=au",
        "rtph265pay config-interval=0 aggregate-mode=zero-latency",
    ),
    "audio/mpeg": ("aacparse", "audio/mpeg,stream-format=raw", "rtpmp4gpay"),
}


@dataclass(frozen=True)
class Unit:
    """One coded frame or audio frame; times in ns since the clip's beginning."""

    data: bytes
    pts: int
    dts: int
    keyframe: bool


@dataclass(frozen=True)
class Track:
    """One elementary stream of the clip, in decoding order."""

    caps: str
    payloader: str
    units: list[Unit]
    length: int  # ns: after so long it begins again

    def newest_keyframe(self, elapsed: int) -> int:
        """The index of the last keyframe at or before a time on the endless timeline."""
        due = elapsed % self.length
        keys = [i for i, unit in enumerate(self.units) if unit.keyframe]
        return max((i for i in keys if self.units[i].dts <= due), default=keys[0])


def read_tracks(path: str) -> list[Track]:
    """Demux the whole clip into memory, video first."""
    demuxer = DEMUXERS[path[path.rindex(".") :]]
    pipeline = Gst.parse_launch(f"filesrc name=file ! {demuxer} name=demux")
    pipeline.get_by_name("file").set_property("location", path)
    sinks: dict[str, Gst.Element] = {}

    def on_pad(_demux: Gst.Element, pad: Gst.Pad) -> None:
        kind = pad.get_current_caps().get_structure(0).get_name()
        parser, caps, _ = PARSERS[kind]
        branch = Gst.parse_bin_from_description(
            f"queue max-size-buffers=0 max-size-bytes=0 max-size-time=0 ! {parser} ! {caps} "
            "! appsink name=sink sync=false wait-on-eos=false",
            True,
        )
        sinks[kind] = branch.get_by_name("sink")
        pipeline.add(branch)
        branch.sync_state_with_parent()
        pad.link(branch.get_static_pad("sink"))

    pipeline.get_by_name("demux").connect("pad-added", on_pad)
    pipeline.set_state(Gst.State.PLAYING)
    message = pipeline.get_bus().timed_pop_filtered(
        20 * Gst.SECOND, Gst.MessageType.EOS | Gst.MessageType.ERROR
    )
    if message is None or message.type == Gst.MessageType.ERROR:
        raise RuntimeError(f"{path}: {message and message.parse_error()}")
    tracks = [drain(kind, sinks[kind]) for kind in sorted(sinks, reverse=True)]  # video first
    pipeline.set_state(Gst.State.NULL)
    return tracks


def drain(kind: str, sink: Gst.Element) -> Track:
    units, caps, end = [], "", 0
    while (sample := sink.emit("try-pull-sample", 0)) is not None:
        buffer = sample.get_buffer()
        caps = caps or sample.get_caps().to_string()
        pts = buffer.pts
        dts = pts if buffer.dts == Gst.CLOCK_TIME_NONE else buffer.dts
        keyframe = not buffer.has_flags(Gst.BufferFlags.DELTA_UNIT)
        units.append(Unit(buffer.extract_dup(0, buffer.get_size()), pts, dts, keyframe))
        end = max(end, pts + buffer.duration)
    origin = units[0].dts
    units = [Unit(u.data, u.pts - origin, u.dts - origin, u.keyframe) for u in units]
    return Track(caps, PARSERS[kind][2], units, end - min(u.pts for u in units) - origin)


class Feed:
    """Pushes one track into one client's appsrc at the track's own pace, until stopped."""

    def __init__(self, track: Track, source: Gst.Element, first: int, log: TextIO | None) -> None:
        self._track = track
        self._source = source
        self._next = first
        self._log = log
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()

    def _run(self) -> None:
        units, length = self._track.units, self._track.length
        if not self._wait_for_base_time():
            return
        running = self._source.get_clock().get_time() - self._source.get_base_time()
        began = time.monotonic_ns()
        shift = -units[self._next].dts  # from the clip's time to time since we began
        while True:
            unit = units[self._next]
            ahead = began + unit.dts + shift - time.monotonic_ns()
            if self._stop.wait(max(0, ahead) / 1e9):
                return
            buffer = Gst.Buffer.new_wrapped(unit.data)
            buffer.pts = running + unit.pts + shift
            buffer.dts = running + unit.dts + shift
            if not unit.keyframe:
                buffer.set_flags(Gst.BufferFlags.DELTA_UNIT)
            if self._log is not None:
                self._log.write(f"{self._next} {time.time()}\n")
            if self._source.emit("push-buffer", buffer) != Gst.FlowReturn.OK:
                return
            self._next += 1
            if self._next == len(units):
                self._next = 0
                shift += length

    def _wait_for_base_time(self) -> bool:
        """Whether the pipeline runs; its clock is set first, and alone would give 0 as the base."""
        while not self._source.get_base_time():
            if self._stop.wait(0.002):
                return False
        return True


class Camera(GstRtspServer.RTSPMediaFactory):
    """Gives every client a pipeline of its own, joined to the common timeline."""

    def __init__(
        self, tracks: list[Track], loss: float, disorder: float, log: TextIO | None
    ) -> None:
        super().__init__()
        self._tracks = tracks
        self._network = (
            f"netsim drop-probability={loss} delay-probability={disorder} "
            "min-delay=2 max-delay=25 allow-reordering=true"
        )
        self._log = log
        self._lossy = loss > 0 or disorder > 0
        self._began = time.monotonic_ns()
        self.set_shared(False)
        self.set_latency(0)
        self.set_protocols(GstRtsp.RTSPLowerTrans.TCP | GstRtsp.RTSPLowerTrans.UDP)
        self.connect("media-configure", self._on_media)

    def do_create_element(self, _url: object) -> Gst.Element:
        top = Gst.Bin.new(None)
        for i, track in enumerate(self._tracks):
            source = Gst.ElementFactory.make("appsrc", f"source{i}")
            source.set_property("caps", Gst.Caps.from_string(track.caps))
            source.set_property("format", Gst.Format.TIME)
            source.set_property("is-live", True)
            source.set_property("max-bytes", 4_000_000)
            source.set_property("leaky-type", 2)  # downstream: a client that stalls loses frames
            payloader = f"{track.payloader} pt={96 + i}"
            if self._lossy:
                payloader += f" ! {self._network}"
            pay = Gst.parse_bin_from_description(payloader, True)
            pay.set_name(f"pay{i}")  # what gst-rtsp-server looks for
            top.add(source)
            top.add(pay)
            source.link(pay)
        return top

    def _on_media(self, _factory: object, media: GstRtspServer.RTSPMedia) -> None:
        elapsed = time.monotonic_ns() - self._began
        feeds = []
        for i, track in enumerate(self._tracks):
            source = media.get_element().get_child_by_name(f"source{i}")
            log = None if i else self._log  # of the frames
            feeds.append(Feed(track, source, track.newest_keyframe(elapsed), log))
        media.connect("unprepared", lambda _media: [feed.stop() for feed in feeds])
        for feed in feeds:
            feed.start()


def authentication(user: str, password: str, method: str) -> GstRtspServer.RTSPAuth:
    auth = GstRtspServer.RTSPAuth()
    token = GstRtspServer.RTSPToken()
    token.set_string(GstRtspServer.RTSP_TOKEN_MEDIA_FACTORY_ROLE, user)
    if method == "digest":
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
        auth.add_digest(user, password, token)
    else:
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
    return auth


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clip")
    parser.add_argument("--port", type=int, default=0, help="0 picks one")
    parser.add_argument("--user")
    parser.add_argument("--password", default="")
    parser.add_argument("--auth", choices=("basic", "digest"), default="basic")
    parser.add_argument("--loss", type=float, default=0.0, help="of RTP packets, 0 to 1")
    parser.add_argument("--disorder", type=float, default=0.0, help="of RTP packets, 0 to 1")
    parser.add_argument("--log", help="a file: when frames left, by their place in the clip")
    args = parser.parse_args()

    Gst.init(None)
    log = open(args.log, "a", buffering=1) if args.log else None  # noqa: SIM115 - to the end
    factory = Camera(read_tracks(args.clip), args.loss, args.disorder, log)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(str(args.port))
    server.get_mount_points().add_factory("/cam", factory)
    threads = GstRtspServer.RTSPThreadPool()
    threads.set_max_threads(-1)  # a thread per client: one that blocks must not stall the others
    server.set_thread_pool(threads)
    if args.user is not None:
        server.set_auth(authentication(args.user, args.password, args.auth))
        factory.add_role_from_structure(
            Gst.Structure.from_string(
                f'"{args.user}", media.factory.access=true, media.factory.construct=true'
            )[0]
        )
    if server.attach(None) == 0:
        raise SystemExit(f"port {args.port}: cannot listen there")
    sys.stdout.write(f"READY {server.get_bound_port()}\n")
    sys.stdout.flush()
    loop = GLib.MainLoop()
    gone = GLib.IO_HUP  # the process that started us with a pipe as stdin has died
    GLib.io_add_watch(sys.stdin.fileno(), GLib.PRIORITY_DEFAULT, gone, lambda *_: loop.quit())
    loop.run()


if __name__ == "__main__":
    main()
