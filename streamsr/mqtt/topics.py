"""Which topic means what, in both directions. Pure: it knows names, and neither broker nor node."""

import hashlib
import re
from dataclasses import dataclass
from enum import Enum, StrEnum, auto

__all__ = ["ParsedTopic", "TopicKind", "Topics", "Verb"]

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Verb(StrEnum):
    """A command, as its topic names it."""

    ENABLE = "enable"
    MODEL = "model"
    RECORD = "record"
    SNAPSHOT = "snapshot"
    SIZE = "size"
    SELF_CHECK = "self_check"
    CHANGE = "change"
    ADD = "add"
    REMOVE = "remove"

    @property
    def of_node(self) -> bool:
        """Whether it is to the node, and its payload names the camera."""
        return self in (Verb.ADD, Verb.REMOVE)


class TopicKind(Enum):
    """What an incoming message is about."""

    COMMAND = auto()  # to a camera, or the node
    STATE = auto()  # a camera's retained state: ours, unless another client wrote over it
    AVAILABILITY = auto()  # this node's retained availability
    BIRTH = auto()  # Home Assistant has started, or stopped
    DISCOVERY = auto()  # a retained message of a camera's entities: ours, or of an earlier run


@dataclass(frozen=True, slots=True)
class ParsedTopic:
    """An incoming topic in its parts, which are not checked: they may name what does not exist."""

    kind: TopicKind
    camera: str = ""  # "" where it is the node
    verb: str = ""  # of a command


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of one node."""

    prefix: str
    node: str
    discovery_prefix: str

    @property
    def root(self) -> str:
        return f"{self.prefix}/{self.node}"

    @property
    def availability(self) -> str:
        return f"{self.root}/availability"

    @property
    def birth(self) -> str:
        """Where Home Assistant publishes "online" when it has started."""
        return f"{self.discovery_prefix}/status"

    def state(self, camera: str) -> str:
        return f"{self.root}/{camera}/state"

    def metrics(self, camera: str) -> str:
        return f"{self.root}/{camera}/metrics"

    def snapshot(self, camera: str) -> str:
        return f"{self.root}/{camera}/snapshot"

    def event(self, camera: str | None) -> str:
        """The topic of a camera's events, or of the node's for None."""
        return f"{self.root}/event" if camera is None else f"{self.root}/{camera}/event"

    def command(self, camera: str, verb: Verb) -> str:
        return f"{self.root}/{camera}/{verb}/set"

    def addresses(self, camera: str) -> str:
        return f"{self.root}/{camera}/addresses"

    def discovery(self, camera: str) -> str:
        """The topic of the message for a whole device."""
        return f"{self.discovery_prefix}/device/{self.device(camera)}/config"

    def component(self, platform: str, camera: str, key: str) -> str:
        """The topic of the message for one entity; "+" stands for any platform or key."""
        return f"{self.discovery_prefix}/{platform}/{self.device(camera)}/{key}/config"

    def device(self, camera: str) -> str:
        """A name for a camera that no camera of another node or prefix has.

        Names are joined by "_", which they may hold themselves: then a digest tells them apart.
        """
        names = (self.prefix, self.node, camera)
        plain = "_".join(names).replace("/", "-")
        if not any("_" in name or "/" in name for name in names):
            return plain
        return f"{plain}_{hashlib.sha256(' '.join(names).encode()).hexdigest()[:8]}"

    def retained(self, camera: str) -> tuple[str, ...]:
        """All topics of a camera whose messages are retained, but for those of its entities."""
        own = self.state(camera), self.snapshot(camera), self.addresses(camera)
        return self.discovery(camera), *own

    def subscriptions(self, discovery: bool) -> list[str]:
        """The topics a node subscribes to."""
        own = [
            f"{self.root}/+/+/set",
            f"{self.root}/+/set",
            f"{self.root}/+/state",
            self.availability,
        ]
        return [*own, self.birth] if discovery else own

    def parse(self, topic: str) -> ParsedTopic | None:
        """An incoming topic in its parts; None for one that is not this node's."""
        if topic == self.availability:
            return ParsedTopic(TopicKind.AVAILABILITY)
        if topic == self.birth:
            return ParsedTopic(TopicKind.BIRTH)
        if topic.startswith(f"{self.discovery_prefix}/") and topic.count("/") == 4:
            return ParsedTopic(TopicKind.DISCOVERY)
        if not topic.startswith(f"{self.root}/"):
            return None
        match topic[len(self.root) + 1 :].split("/"):
            case [camera, "state"] if _NAME.fullmatch(camera):
                return ParsedTopic(TopicKind.STATE, camera)
            case [verb, "set"]:
                return ParsedTopic(TopicKind.COMMAND, "", verb)
            case [camera, verb, "set"]:
                return ParsedTopic(TopicKind.COMMAND, camera, verb)
        return None
