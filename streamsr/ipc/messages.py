"""Every message between processes: one frozen dataclass each. ``framing.py`` has their bytes.

Streams are named by a ``key``, which is another one for each session of a stream in a worker.
No message has to be answered: who asks for a snapshot waits with a limit.
"""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

from streamsr.core.events import Code, Event
from streamsr.core.packet import Packet, Track
from streamsr.core.status import OutputState, StreamState, StreamStatus

__all__ = [
    "CheckModels",
    "FinishOutput",
    "Heartbeat",
    "Message",
    "ModelInUse",
    "NodeReport",
    "OutputEvent",
    "OutputFailed",
    "OutputFormat",
    "OutputPacket",
    "OutputProgress",
    "Quit",
    "RequestKeyframe",
    "RunCameras",
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


@dataclass(frozen=True, slots=True)
class Message:
    """What one process sends to another: one of the classes below."""


@dataclass(frozen=True, slots=True)
class StreamMessage(Message):
    """What is said about one session of a stream, by its worker or to it."""

    key: str


# From the main process to a worker.


@dataclass(frozen=True, slots=True)
class StartStream(StreamMessage):
    """Main to worker, once for each session of a stream: run it, and send these tracks."""

    settings: str  # a StreamSettings as JSON, for the worker to validate
    tracks: frozenset[Track]


@dataclass(frozen=True, slots=True)
class WantTracks(StreamMessage):
    """Main to worker, when subscribers come and go: the tracks to send from now on."""

    tracks: frozenset[Track]


@dataclass(frozen=True, slots=True)
class RequestKeyframe(StreamMessage):
    """Main to worker, when a subscriber cannot decode: make these tracks' next frames keyframes."""

    tracks: frozenset[Track]


@dataclass(frozen=True, slots=True)
class UseModel(StreamMessage):
    """Main to worker, when a user asks: go on with this model, of the same scale."""

    model: str


@dataclass(frozen=True, slots=True)
class TakeSnapshot(StreamMessage):
    """Main to worker, when a user asks: send the newest upscaled frame as JPEG."""

    width: int = 0  # in pixels; 0: as it is


@dataclass(frozen=True, slots=True)
class CheckModels(StreamMessage):
    """Main to worker, when a user asks: make the next self-check now."""


@dataclass(frozen=True, slots=True)
class StopStream(StreamMessage):
    """Main to worker: deliver what was read within so many seconds, then end the stream."""

    within_s: float


@dataclass(frozen=True, slots=True)
class Quit(Message):
    """Main to worker: stop every stream, then end, within so many seconds."""

    within_s: float


# From a worker to the main process.


@dataclass(frozen=True, slots=True)
class Heartbeat(Message):
    """Worker to main, twice a second: its event loop makes progress."""


@dataclass(frozen=True, slots=True)
class StreamFormat(StreamMessage):
    """Worker to main, before a stream's first packet and when it changes: what the stream is."""

    rate: Fraction  # nominal frames a second
    width: int  # pixels, upscaled
    height: int
    audio: bool  # whether the source has any


@dataclass(frozen=True, slots=True)
class StreamPacket(StreamMessage):
    """Worker to main: an encoded packet of a track that is wanted."""

    packet: Packet


@dataclass(frozen=True, slots=True)
class StreamReport(StreamMessage):
    """Worker to main, twice a second and at a stream's end: how the stream stands."""

    status: StreamStatus


@dataclass(frozen=True, slots=True)
class StreamEvent(StreamMessage):
    """Worker to main, when it happens."""

    event: Event


@dataclass(frozen=True, slots=True)
class ModelInUse(StreamMessage):
    """Worker to main, in answer to UseModel: the stream goes on with this model."""

    model: str


@dataclass(frozen=True, slots=True)
class Snapshot(StreamMessage):
    """Worker to main, in answer to TakeSnapshot; nothing is sent while there is no frame."""

    jpeg: bytes
    width: int = 0  # that was asked for


@dataclass(frozen=True, slots=True)
class StreamEnded(StreamMessage):
    """Worker to main, at the end of a stream that ran as asked."""

    summary: StreamStatus


@dataclass(frozen=True, slots=True)
class StreamFailed(StreamMessage):
    """Worker to main, at the end of a stream that could not."""

    message: str
    exit_code: int | None  # None: a fault of ours, after which another session may work
    kind: str = ""  # the error's class, of core/errors.py; "": as the exit code says


# From the main process to an output's process.


@dataclass(frozen=True, slots=True)
class StartServer(Message):
    """Main to output, first of all: publish to an RTSP or RTMP server."""

    url: str
    transport: Literal["tcp", "udp"]  # of RTSP media
    parent_pid: int  # the process ends with this one, even while a server blocks it
    lease: Path | None = None  # by which alone it may write, in a fleet


@dataclass(frozen=True, slots=True)
class StartHls(Message):
    """Main to output, first of all: write HLS into a folder."""

    folder: Path
    segment_s: float
    segments: int  # in the playlist
    lease: Path | None = None  # as above


@dataclass(frozen=True, slots=True)
class StartRecorder(Message):
    """Main to output, first of all: record into MP4 files."""

    stream: str
    folder: Path
    segment_s: float
    keep_s: float | None  # None: indefinitely
    min_free_bytes: int
    lease: Path | None = None  # as above


@dataclass(frozen=True, slots=True)
class OutputFormat(Message):
    """Main to output, before the first packet and when it changes: what the stream is."""

    rate: Fraction  # nominal frames a second
    audio: bool  # whether there will be any


@dataclass(frozen=True, slots=True)
class OutputPacket(Message):
    """Main to output: a packet to write."""

    packet: Packet


@dataclass(frozen=True, slots=True)
class FinishOutput(Message):
    """Main to output: there are no more packets; finish and end."""


# From an output's process to the main process.


@dataclass(frozen=True, slots=True)
class OutputProgress(Message):
    """Output to main, four times a second: its heartbeat, and how many packets it took in all."""

    state: OutputState
    taken: int


@dataclass(frozen=True, slots=True)
class OutputEvent(Message):
    """Output to main, when it happens."""

    code: Code
    message: str


@dataclass(frozen=True, slots=True)
class OutputFailed(Message):
    """Output to main, last of all: why it cannot go on."""

    reason: str


# From the host of a fleet to its node's process, and back.


@dataclass(frozen=True, slots=True)
class RunCameras(Message):
    """Host to node, first of all and when it changes: all that it is to run."""

    node: str  # the groups of a NodeSettings but its streams, as JSON
    cameras: tuple[str, ...]  # a StreamSettings each, as JSON; they hold secrets
    leases: Path  # the folder by which alone they may be published
    number: int  # rises from 1 within one process


@dataclass(frozen=True, slots=True)
class RunningCamera:
    """A camera that a node runs or has not yet ended."""

    name: str
    state: StreamState
    reason: str  # what is wrong, for people; it holds no secret
    takes_ms: tuple[float, float]  # a second, of cores by threads of its own, and of a GPU


@dataclass(frozen=True, slots=True)
class NodeReport(Message):
    """Node to host, twice a second and when it changes: its heartbeat, and all that it runs."""

    cameras: tuple[RunningCamera, ...]
    address: str  # of its server; "" without one
    followed: int  # the number of the newest RunCameras that it has carried out; 0 for none
