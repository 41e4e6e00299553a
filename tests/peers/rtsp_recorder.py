"""An RTSP server that is published to: takes ANNOUNCE and RECORD over TCP and UDP:
frame and audio at ``/live``, a frame alone at ``/silent``.

A script for the system's python3, which has gst-rtsp-server; it imports nothing of the project.
What a session brings goes into a Matroska file of its own, FOLDER/1.mkv and so on, which can be
read while it grows. Nothing is decoded here.
"""

import argparse
import itertools
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402

DEPAYLOADERS = [("rtph264depay", "h264parse"), ("rtpmp4gdepay", "aacparse")]
REPORT_NS = 1_500_000_000  # between two RTCP reports, about; five seconds by itself
PLACES = {"/live": 2, "/silent": 1}  # and how many tracks are announced there


class Recorder(GstRtspServer.RTSPMediaFactory):
    """Gives every publisher a file of its own."""

    def __init__(self, folder: str, numbers: "itertools.count[int]", tracks: int) -> None:
        super().__init__()
        self._folder = folder
        self._numbers = numbers  # of the files
        self._tracks = tracks
        self.set_shared(False)
        self.set_latency(1000)  # ms: less, and a busy machine makes it drop what comes late
        self.set_transport_mode(GstRtspServer.RTSPTransportMode.RECORD)
        self.set_protocols(GstRtsp.RTSPLowerTrans.TCP | GstRtsp.RTSPLowerTrans.UDP)
        self.set_buffer_size(4_000_000)

    def do_configure(self, media: GstRtspServer.RTSPMedia) -> None:
        GstRtspServer.RTSPMediaFactory.do_configure(self, media)
        media.connect("prepared", self._report_often)

    def _report_often(self, media: GstRtspServer.RTSPMedia) -> None:
        elements = media.get_element().get_parent().iterate_elements()
        while (found := elements.next())[0] == Gst.IteratorResult.OK:
            if found[1].get_factory().get_name() == "rtpbin":
                for number in range(self._tracks):
                    session = found[1].emit("get-internal-session", number)
                    session.set_property("rtcp-min-interval", REPORT_NS)

    def do_create_element(self, _url: object) -> Gst.Element:
        path = f"{self._folder}/{next(self._numbers)}.mkv"
        branches = [
            f"{head} name=depay{i} ! {rest} ! queue ! mux."
            for i, (head, rest) in enumerate(DEPAYLOADERS[: self._tracks])
        ]
        mux = "matroskamux name=mux streamable=true"
        sink = f"filesink location={path} buffer-mode=unbuffered"
        return Gst.parse_launch(f"( {mux} ! {sink}  {' '.join(branches)} )")


def digest(user: str, password: str) -> GstRtspServer.RTSPAuth:
    auth = GstRtspServer.RTSPAuth()
    token = GstRtspServer.RTSPToken()
    token.set_string(GstRtspServer.RTSP_TOKEN_MEDIA_FACTORY_ROLE, user)
    auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
    auth.add_digest(user, password, token)
    return auth


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("--port", type=int, default=0, help="0 picks one")
    parser.add_argument("--first", type=int, default=1, help="number of the first file")
    parser.add_argument("--user")
    parser.add_argument("--password", default="")
    args = parser.parse_args()

    Gst.init(None)
    numbers = itertools.count(args.first)
    factories = {place: Recorder(args.folder, numbers, n) for place, n in PLACES.items()}
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(str(args.port))
    for place, factory in factories.items():
        server.get_mount_points().add_factory(place, factory)
    threads = GstRtspServer.RTSPThreadPool()
    threads.set_max_threads(-1)  # one that blocks must not stall the others
    server.set_thread_pool(threads)
    if args.user is not None:
        server.set_auth(digest(args.user, args.password))
        role = f'"{args.user}", media.factory.access=true, media.factory.construct=true'
        for factory in factories.values():
            factory.add_role_from_structure(Gst.Structure.from_string(role)[0])
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
