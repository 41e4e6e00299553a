"""What goes between the driver and the tasks of an archive: no frame, no packet, no secret."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from streamsr.core.settings import StreamSettings
from streamsr.files.plan import FileJob
from streamsr.fleet.archive.parts import FilePart
from streamsr.zoo.card import Precision

__all__ = ["Failed", "Made", "Order", "Tasks"]


@dataclass(frozen=True, slots=True, eq=False)
class Order:
    """From the driver: upscale a part of a file into a folder that all hosts have."""

    job: FileJob  # its source as an absolute path
    settings: StreamSettings
    identity: Mapping[str, Any]  # of the source and the models, as the driver has them
    folder: Path  # of the file's parts
    mark: str  # what the folder is known by
    part: FilePart
    segments: int | None  # of a part, at most; None: to the end of the file
    device: str  # "cpu" or "cuda"
    precision: Precision | None  # that the others were made in; None: the quickest
    niceness: int


@dataclass(frozen=True, slots=True)
class Made:
    """From a task: the part is in the folder, under its name."""

    host: str
    frames: int
    elapsed_s: float


@dataclass(frozen=True, slots=True)
class Failed:
    """From a task: the part cannot be made, on any try."""

    host: str
    why: str


class Tasks(Protocol):
    """What runs orders on hosts. Any thread may call it."""

    def begin(self, order: Order) -> Any:
        """Returns what stands for the task."""

    def ended(self, tasks: Sequence[Any], within_s: float) -> set[Any]:
        """Returns those of the tasks that have ended, after a while where not all have."""

    def result(self, task: Any) -> Made | Failed:
        """Returns what a task that has ended came to. Raises StreamsrError."""

    def cancel(self, tasks: Sequence[Any]) -> None:
        """Ends tasks, whose parts are made by others then, or not at all."""
