"""Which topic means what, in both directions. Pure: it knows names, and neither broker nor node."""

import hashlib
import re
from dataclasses import dataclass
from enum import Enum, auto

from streamsr.mqtt.commands import Verb

__all__ = ["About", "Heard", "Topics"]

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


class About(Enum):
    """What a message that comes in is about."""

    COMMAND = auto()  # for a camera
    STATE = auto()  # what the broker keeps of a camera: ours, unless someone wrote over it
    AVAILABILITY = auto()  # what the broker says of this node
    BIRTH = auto()  # Home Assistant has started, or stopped


@dataclass(frozen=True, slots=True)
class Heard:
    """A topic understood. Its words are as they came: ``camera`` and ``word`` may not exist."""

    about: About
    camera: str = ""
    word: str = ""  # of a command: what should be one of Verb


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
        """Where Home Assistant says "online" when it has started."""
        return f"{self.discovery_prefix}/status"

    def state(self, camera: str) -> str:
        return f"{self.root}/{camera}/state"

    def metrics(self, camera: str) -> str:
        return f"{self.root}/{camera}/metrics"

    def snapshot(self, camera: str) -> str:
        return f"{self.root}/{camera}/snapshot"

    def event(self, camera: str | None) -> str:
        """None: of the node itself."""
        return f"{self.root}/event" if camera is None else f"{self.root}/{camera}/event"

    def command(self, camera: str, verb: Verb) -> str:
        return f"{self.root}/{camera}/{verb}/set"

    def discovery(self, camera: str) -> str:
        return f"{self.discovery_prefix}/device/{self.device(camera)}/config"

    def device(self, camera: str) -> str:
        """A name for a camera that no camera of another node or prefix has.

        Names are joined by "_", which they may hold themselves: then a digest tells them apart.
        """
        words = (self.prefix, self.node, camera)
        plain = "_".join(words).replace("/", "-")
        if not any("_" in word or "/" in word for word in words):
            return plain
        return f"{plain}_{hashlib.sha256(' '.join(words).encode()).hexdigest()[:8]}"

    def retained(self, camera: str) -> tuple[str, ...]:
        """All that the broker keeps of a camera."""
        return self.discovery(camera), self.state(camera), self.snapshot(camera)

    def subscriptions(self, discovery: bool) -> list[str]:
        """What a node listens to."""
        listened = [f"{self.root}/+/+/set", f"{self.root}/+/state", self.availability]
        return [*listened, self.birth] if discovery else listened

    def parse(self, topic: str) -> Heard | None:
        """What a topic means; None for one that is none of ours."""
        if topic == self.availability:
            return Heard(About.AVAILABILITY)
        if topic == self.birth:
            return Heard(About.BIRTH)
        if not topic.startswith(f"{self.root}/"):
            return None
        match topic[len(self.root) + 1 :].split("/"):
            case [camera, "state"] if _NAME.fullmatch(camera):
                return Heard(About.STATE, camera)
            case [camera, word, "set"]:
                return Heard(About.COMMAND, camera, word)
        return None
