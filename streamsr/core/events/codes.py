"""The registry of what may happen: stable codes, how bad each is, and what it is about. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum, auto

__all__ = ["FACTS", "Code", "CodeFacts", "EventKind", "EventPhase", "Severity", "over_of"]


class Code(StrEnum):
    """Stable names: other software may act on them. FACTS says what each means."""

    STREAM_FAILED = "STREAM_FAILED"
    STREAM_UP = "STREAM_UP"
    WORKER_DOWN = "WORKER_DOWN"
    WORKER_UP = "WORKER_UP"
    SRC_UP = "SRC_UP"
    SRC_DOWN = "SRC_DOWN"
    SRC_AUTH = "SRC_AUTH"
    SRC_WAITING = "SRC_WAITING"
    SRC_TIME = "SRC_TIME"
    SRC_DAMAGED = "SRC_DAMAGED"
    SRC_DAMAGED_OVER = "SRC_DAMAGED_OVER"
    SRC_INTERLACED = "SRC_INTERLACED"
    SRC_REDUCED = "SRC_REDUCED"
    FRAMES_HELD = "FRAMES_HELD"
    FRAMES_HELD_OVER = "FRAMES_HELD_OVER"
    OUT_UP = "OUT_UP"
    OUT_DOWN = "OUT_DOWN"
    OUT_FAILED = "OUT_FAILED"
    ENCODER_FALLBACK = "ENCODER_FALLBACK"
    REC_FULL = "REC_FULL"
    OVERLOAD = "OVERLOAD"
    OVERLOAD_OVER = "OVERLOAD_OVER"
    AUDIO_DROPPED = "AUDIO_DROPPED"
    AUDIO_DROPPED_OVER = "AUDIO_DROPPED_OVER"
    MODEL_FAILED = "MODEL_FAILED"
    MODEL_UP = "MODEL_UP"
    MODEL_FALLBACK = "MODEL_FALLBACK"
    MODEL_RESTORED = "MODEL_RESTORED"
    SR_FAILED = "SR_FAILED"
    SR_FAILED_OVER = "SR_FAILED_OVER"
    MEMORY_SHORT = "MEMORY_SHORT"
    MEMORY_ENOUGH = "MEMORY_ENOUGH"
    SR_LOSES = "SR_LOSES"
    SR_WINS = "SR_WINS"
    CONFIG_RELOADED = "CONFIG_RELOADED"
    CONFIG_REFUSED = "CONFIG_REFUSED"
    EDITS_LOST = "EDITS_LOST"
    EDITS_KEPT = "EDITS_KEPT"
    MQTT_UP = "MQTT_UP"
    MQTT_DOWN = "MQTT_DOWN"
    MQTT_AUTH = "MQTT_AUTH"
    ACCESS_REFUSED = "ACCESS_REFUSED"
    TLS_EXPIRES = "TLS_EXPIRES"
    TLS_RENEWED = "TLS_RENEWED"
    CMD_REFUSED = "CMD_REFUSED"


class Severity(StrEnum):
    """How bad it is; the log's level."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class EventKind(Enum):
    """What of a subject changes. What a status names before others comes first."""

    WORKER = auto()
    STREAM = auto()
    SOURCE = auto()
    OUTPUT = auto()
    LOADING = auto()  # of a model
    NETWORK = auto()
    OVERLOAD = auto()
    DAMAGE = auto()
    HELD = auto()  # frames
    AUDIO = auto()
    MODEL = auto()
    GAIN = auto()
    MEMORY = auto()  # of a device
    MQTT = auto()
    CONFIG = auto()
    EDITS = auto()
    TIME = auto()
    SCAN = auto()
    REDUCED = auto()
    ENCODER = auto()
    COMMAND = auto()
    ACCESS = auto()
    CERTIFICATE = auto()

    @property
    def subject(self) -> str:
        """What it is about: "camera", "output" or "node"."""
        return _SUBJECTS.get(self, "camera")


_SUBJECTS = {
    EventKind.OUTPUT: "output",
    EventKind.WORKER: "node",
    EventKind.MQTT: "node",
    EventKind.CONFIG: "node",
    EventKind.EDITS: "node",
    EventKind.ACCESS: "node",
    EventKind.CERTIFICATE: "node",
}


class EventPhase(Enum):
    """What a code says of its kind."""

    TROUBLE = auto()  # it stands until another code of the kind comes
    WELL = auto()  # what was wrong is over
    RATE = auto()  # TROUBLE that is told with each frame, and over once it is told no more
    MOMENT = auto()  # it happened, and nothing stands


@dataclass(frozen=True, slots=True)
class CodeFacts:
    """What is known of a code beforehand."""

    severity: Severity
    kind: EventKind
    phase: EventPhase
    meaning: str


INFO, WARNING, ERROR = Severity
TROUBLE, WELL, RATE, MOMENT = EventPhase

FACTS: Mapping[Code, CodeFacts] = {
    Code.STREAM_FAILED: CodeFacts(
        ERROR, EventKind.STREAM, TROUBLE, "it ended with an error; others go on"
    ),
    Code.STREAM_UP: CodeFacts(
        INFO, EventKind.STREAM, WELL, "a stream that had failed delivers again"
    ),
    Code.WORKER_DOWN: CodeFacts(
        WARNING, EventKind.WORKER, TROUBLE, "a worker process ended; it is started again"
    ),
    Code.WORKER_UP: CodeFacts(INFO, EventKind.WORKER, WELL, "another one took its place"),
    Code.SRC_UP: CodeFacts(INFO, EventKind.SOURCE, WELL, "a live source delivers"),
    Code.SRC_DOWN: CodeFacts(
        WARNING, EventKind.SOURCE, TROUBLE, "it does not deliver; it is tried again"
    ),
    Code.SRC_AUTH: CodeFacts(
        ERROR, EventKind.SOURCE, TROUBLE, "it refuses the credentials; tried again, seldom"
    ),
    Code.SRC_WAITING: CodeFacts(
        WARNING, EventKind.SOURCE, TROUBLE, "it is connected and shows nothing yet"
    ),
    Code.SRC_TIME: CodeFacts(
        WARNING, EventKind.TIME, MOMENT, "its time stamps jumped; joined, or a gap that is kept"
    ),
    Code.SRC_DAMAGED: CodeFacts(WARNING, EventKind.DAMAGE, RATE, "the decoder meets damaged data"),
    Code.SRC_DAMAGED_OVER: CodeFacts(INFO, EventKind.DAMAGE, WELL, "it has met none for 10 s"),
    Code.SRC_INTERLACED: CodeFacts(
        INFO, EventKind.SCAN, MOMENT, "the source is interlaced; deinterlaced"
    ),
    Code.SRC_REDUCED: CodeFacts(
        WARNING, EventKind.REDUCED, MOMENT, "the source has what the output does not hold"
    ),
    Code.FRAMES_HELD: CodeFacts(
        INFO, EventKind.HELD, RATE, "no frame comes: the last one is repeated"
    ),
    Code.FRAMES_HELD_OVER: CodeFacts(INFO, EventKind.HELD, WELL, "none has been repeated for 10 s"),
    Code.OUT_UP: CodeFacts(INFO, EventKind.OUTPUT, WELL, "its server or disk takes the stream"),
    Code.OUT_DOWN: CodeFacts(WARNING, EventKind.OUTPUT, TROUBLE, "it does not; it is tried again"),
    Code.OUT_FAILED: CodeFacts(
        ERROR, EventKind.OUTPUT, TROUBLE, "a file cannot be written any more"
    ),
    Code.ENCODER_FALLBACK: CodeFacts(
        WARNING, EventKind.ENCODER, MOMENT, "a hardware encoder failed; the CPU encodes on"
    ),
    Code.REC_FULL: CodeFacts(
        ERROR, EventKind.OUTPUT, TROUBLE, "no space to record; goes on by itself when there is"
    ),
    Code.OVERLOAD: CodeFacts(
        WARNING,
        EventKind.OVERLOAD,
        RATE,
        "frames or packets are dropped: what takes them is too slow",
    ),
    Code.OVERLOAD_OVER: CodeFacts(INFO, EventKind.OVERLOAD, WELL, "none has been dropped for 10 s"),
    Code.AUDIO_DROPPED: CodeFacts(
        WARNING, EventKind.AUDIO, RATE, "audio waited too long for its frame"
    ),
    Code.AUDIO_DROPPED_OVER: CodeFacts(
        INFO, EventKind.AUDIO, WELL, "none has been dropped for 10 s"
    ),
    Code.MODEL_FAILED: CodeFacts(
        ERROR, EventKind.LOADING, TROUBLE, "a model cannot be loaded; the one before it goes on"
    ),
    Code.MODEL_UP: CodeFacts(
        INFO, EventKind.LOADING, WELL, "the model that was asked for is loaded"
    ),
    Code.MODEL_FALLBACK: CodeFacts(
        WARNING, EventKind.MODEL, TROUBLE, "too slow, or worse than bicubic: another model runs"
    ),
    Code.MODEL_RESTORED: CodeFacts(INFO, EventKind.MODEL, WELL, "a better model runs again"),
    Code.SR_FAILED: CodeFacts(
        ERROR, EventKind.NETWORK, RATE, "the network gave no usable frame; it is scaled plainly"
    ),
    Code.SR_FAILED_OVER: CodeFacts(
        INFO, EventKind.NETWORK, WELL, "every frame of the last 10 s was usable"
    ),
    Code.MEMORY_SHORT: CodeFacts(
        WARNING, EventKind.MEMORY, TROUBLE, "a GPU's memory is full: less is run at once"
    ),
    Code.MEMORY_ENOUGH: CodeFacts(INFO, EventKind.MEMORY, WELL, "all is run at once again"),
    Code.SR_LOSES: CodeFacts(
        WARNING, EventKind.GAIN, TROUBLE, "by the self-checks the network is worse than bicubic"
    ),
    Code.SR_WINS: CodeFacts(INFO, EventKind.GAIN, WELL, "it has been better again for as long"),
    Code.CONFIG_RELOADED: CodeFacts(
        INFO, EventKind.CONFIG, WELL, "the node runs by its changed file"
    ),
    Code.CONFIG_REFUSED: CodeFacts(
        ERROR, EventKind.CONFIG, TROUBLE, "the changed file is wrong; nothing of it is taken"
    ),
    Code.EDITS_LOST: CodeFacts(
        ERROR, EventKind.EDITS, TROUBLE, "what was changed of cameras cannot be read, run or kept"
    ),
    Code.EDITS_KEPT: CodeFacts(INFO, EventKind.EDITS, WELL, "all that is changed is kept again"),
    Code.MQTT_UP: CodeFacts(INFO, EventKind.MQTT, WELL, "the broker is there"),
    Code.MQTT_DOWN: CodeFacts(WARNING, EventKind.MQTT, TROUBLE, "it is not; it is tried again"),
    Code.MQTT_AUTH: CodeFacts(
        ERROR, EventKind.MQTT, TROUBLE, "it refuses the credentials; tried again, seldom"
    ),
    Code.ACCESS_REFUSED: CodeFacts(
        WARNING, EventKind.ACCESS, MOMENT, "a client has a wrong token, or comes from another site"
    ),
    Code.TLS_EXPIRES: CodeFacts(
        WARNING, EventKind.CERTIFICATE, TROUBLE, "the server's certificate ends soon, or has ended"
    ),
    Code.TLS_RENEWED: CodeFacts(
        INFO, EventKind.CERTIFICATE, WELL, "one that holds for longer took its place"
    ),
    Code.CMD_REFUSED: CodeFacts(
        WARNING, EventKind.COMMAND, MOMENT, "a command cannot be carried out"
    ),
}


def over_of(code: Code) -> Code:
    """Returns the code that says that a RATE is over."""
    return Code(f"{code}_OVER")
