"""Every message between processes: one frozen struct each. ``framing.py`` has their bytes.

Streams are named by a ``key``, which is another one for each session of a stream in a worker.
Nobody waits for an answer.
"""

from fractions import Fraction
from pathlib import Path

from msgspec import Struct

from streamsr.core.events import Code, Event
from streamsr.core.packet import Packet, Track
from streamsr.core.status import OutputState, StreamStatus

__all__ = [
    "FinishOutput",
    "Heartbeat",
    "Message",
    "ModelInUse",
    "OutputEvent",
    "OutputFailed",
    "OutputFormat",
    "OutputPacket",
    "OutputProgress",
    "Quit",
    "RequestKeyframe",
    "Snapshot",
    "StartHls",
    "StartRecorder",
    "StartServer",
    "StartStream",
    "StopStream",
    "StreamEnded",
    "StreamEvent",
    "StreamFailed",
    "StreamFormat",
    "StreamMessage",
    "StreamPacket",
    "StreamReport",
    "TakeSnapshot",
    "UseModel",
    "WantTracks",
]


class StreamMessage(Struct, frozen=True, tag=True):
    """What is said about one session of a stream, by its worker or to it."""

    key: str


# From the main process to a worker.


class StartStream(StreamMessage, frozen=True):
    """Main to worker, once for each session of a stream: run it, and send these tracks."""

    settings: str  # a StreamSettings as JSON, for the worker to validate
    tracks: frozenset[Track]


class WantTracks(StreamMessage, frozen=True):
    """Main to worker, when subscribers come and go: the tracks to send from now on."""

    tracks: frozenset[Track]


class RequestKeyframe(StreamMessage, frozen=True):
    """Main to worker, when a subscriber cannot decode: make the next frames keyframes."""


class UseModel(StreamMessage, frozen=True):
    """Main to worker, when a user asks: go on with this model, of the same scale."""

    model: str


class TakeSnapshot(StreamMessage, frozen=True):
    """Main to worker, when a user asks: send the newest upscaled frame as JPEG."""


class StopStream(StreamMessage, frozen=True):
    """Main to worker: deliver what was read within so many seconds, then end the stream."""

    within_s: float


class Quit(Struct, frozen=True, tag=True):
    """Main to worker: stop every stream, then end, within so many seconds."""

    within_s: float


# From a worker to the main process.


class Heartbeat(Struct, frozen=True, tag=True):
    """Worker to main, twice a second: its event loop makes progress."""


class StreamFormat(StreamMessage, frozen=True):
    """Worker to main, before a stream's first packet and when it changes: what the stream is."""

    rate: Fraction  # nominal frames a second
    width: int  # pixels, upscaled
    height: int
    audio: bool  # whether the source has any


class StreamPacket(StreamMessage, frozen=True):
    """Worker to main: an encoded packet of a track that is wanted."""

    packet: Packet


class StreamReport(StreamMessage, frozen=True):
    """Worker to main, twice a second and at a stream's end: how the stream stands."""

    status: StreamStatus


class StreamEvent(StreamMessage, frozen=True):
    """Worker to main, when it happens."""

    event: Event


class ModelInUse(StreamMessage, frozen=True):
    """Worker to main, in answer to UseModel: the stream goes on with this model."""

    model: str


class Snapshot(StreamMessage, frozen=True):
    """Worker to main, in answer to TakeSnapshot; nothing is sent while there is no frame."""

    jpeg: bytes


class StreamEnded(StreamMessage, frozen=True):
    """Worker to main, at the end of a stream that ran as asked."""

    summary: StreamStatus


class StreamFailed(StreamMessage, frozen=True):
    """Worker to main, at the end of a stream that could not."""

    message: str
    exit_code: int | None  # None: a fault of ours, after which another session may work


# From the main process to an output's process.


class StartServer(Struct, frozen=True, tag=True):
    """Main to output, first of all: publish to an RTSP or RTMP server."""

    url: str
    transport: str  # of RTSP media: "tcp" or "udp"
    parent_pid: int  # the process ends with this one, even while a server blocks it


class StartHls(Struct, frozen=True, tag=True):
    """Main to output, first of all: write HLS into a folder."""

    folder: Path
    segment_s: float
    segments: int  # in the playlist
    temporary: bool  # the folder is to be removed where the main process dies


class StartRecorder(Struct, frozen=True, tag=True):
    """Main to output, first of all: record into MP4 files."""

    stream: str
    folder: Path
    segment_s: float
    keep_s: float | None  # None: indefinitely
    min_free_bytes: int


class OutputFormat(Struct, frozen=True, tag=True):
    """Main to output, before the first packet and when it changes: what the stream is."""

    rate: Fraction  # nominal frames a second
    audio: bool  # whether there will be any


class OutputPacket(Struct, frozen=True, tag=True):
    """Main to output: a packet to write."""

    packet: Packet


class FinishOutput(Struct, frozen=True, tag=True):
    """Main to output: there are no more packets; finish and end."""


# From an output's process to the main process.


class OutputProgress(Struct, frozen=True, tag=True):
    """Output to main, four times a second: its heartbeat, and how many packets it took in all."""

    state: OutputState
    taken: int


class OutputEvent(Struct, frozen=True, tag=True):
    """Output to main, when it happens."""

    code: Code
    message: str


class OutputFailed(Struct, frozen=True, tag=True):
    """Output to main, last of all: why it cannot go on."""

    reason: str


Message = (
    StartStream
    | WantTracks
    | RequestKeyframe
    | UseModel
    | TakeSnapshot
    | StopStream
    | Quit
    | Heartbeat
    | StreamFormat
    | StreamPacket
    | StreamReport
    | StreamEvent
    | ModelInUse
    | Snapshot
    | StreamEnded
    | StreamFailed
    | StartServer
    | StartHls
    | StartRecorder
    | OutputFormat
    | OutputPacket
    | FinishOutput
    | OutputProgress
    | OutputEvent
    | OutputFailed
)
