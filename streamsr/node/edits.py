"""What was changed of a node's cameras while it ran, laid over what its file says.

An edit holds as long as the file says of its camera what it said when the edit was made: whoever
changes the file there has the last word. Edits are kept in a file of the node's own, where there is
one, and are forgotten with the process otherwise.
"""

import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from streamsr.control.merge_patch import difference, laid_over
from streamsr.core.config import FILLED_IN, parse
from streamsr.core.errors import ConfigError
from streamsr.core.events import Code, Emit, Event
from streamsr.core.files import PRIVATE, write_whole
from streamsr.core.redact import redact
from streamsr.core.settings import NodeSettings, StreamSettings
from streamsr.node.merge import data_of, digest_of, with_streams

__all__ = ["Edits", "KeptEdits"]

logger = logging.getLogger("streamsr")


class Edits(Protocol):
    """Where a node's edits are kept."""

    kind: str  # where that is, as ``serve.edits`` says it
    written_ns: int  # when they were last written into the node's own file; 0: never

    def applied(self, read: NodeSettings) -> NodeSettings:
        """Returns what the node is to run, where its file says ``read``. Nothing changes by it."""

    def commit(self, read: NodeSettings) -> None:
        """Goes by ``read`` from now on, and forgets what was changed of what it says otherwise."""

    def drop(self, name: str, why: str) -> None:
        """Forgets what was changed of a stream, as it cannot run so."""

    def keep(self, before: StreamSettings | None, after: StreamSettings | None) -> None:
        """Keeps that a stream is another: None before it is added, after it is removed.

        Raises UserError where it cannot be kept and must not be made either.
        """


@dataclass(frozen=True, slots=True)
class _Edit:
    base: str  # the digest of what the file said; "" where it said nothing
    patch: dict[str, Any] | None  # a merge patch on it; None: the stream was removed

    def __post_init__(self) -> None:
        """Raises TypeError: it may come out of a file."""
        if not isinstance(self.base, str) or not isinstance(self.patch, dict | None):
            raise TypeError("an edit that is none")


@dataclass(frozen=True, slots=True)
class _Laid:
    """Edits laid over what the node's file says."""

    settings: NodeSettings
    edits: dict[str, _Edit]  # those that hold
    refused: list[str]  # why others cannot


class KeptEdits:
    """Edits in a file of their own, or without one until the process ends."""

    def __init__(self, path: Path | None, emit: Emit) -> None:
        """``emit`` is told what could not be kept or read."""
        self.kind = "state" if path is not None else "forget"
        self.written_ns = 0
        self._path = path
        self._emit = emit
        self._read: dict[str, StreamSettings] = {}  # by name, as the node's file has them
        self._lost = False  # some, and nothing has been kept since
        self._edits = self._load()

    def applied(self, read: NodeSettings) -> NodeSettings:
        return self._laid(read).settings

    def commit(self, read: NodeSettings) -> None:
        laid = self._laid(read)
        self._read = _by_name(read)
        for name, edit in self._edits.items():
            if edit.base != self._base_of(name):
                logger.warning("%s: its file says otherwise now: what was changed is dropped", name)
        self._edits = laid.edits
        for why in laid.refused:
            self._tell(why)

    def drop(self, name: str, why: str) -> None:
        self._tell(f"a change of {name} is not taken: {why}")
        self._edits.pop(name, None)

    def keep(self, before: StreamSettings | None, after: StreamSettings | None) -> None:
        stream = after or before
        assert stream is not None
        name, file = stream.name, self._read.get(stream.name)
        if after is None:
            edit = _Edit(digest_of(file), None) if file is not None else None
        else:
            base = data_of(file) if file is not None else {}
            said = data_of(after, brief=file is None) | {"name": name}
            edit = _Edit(self._base_of(name), difference(base, said))
        if edit is None or edit.patch == {}:
            self._edits.pop(name, None)
        else:
            self._edits[name] = edit
        self._save()

    def _tell(self, why: str) -> None:
        self._lost = True
        self._emit(Event(Code.EDITS_LOST, "", redact(why)))

    def _base_of(self, name: str) -> str:
        return _base(self._read.get(name))

    def _laid(self, read: NodeSettings) -> _Laid:
        file, streams, refused = _by_name(read), list[StreamSettings](), list[str]()
        edits = {n: edit for n, edit in self._edits.items() if edit.base == _base(file.get(n))}
        for name in dict.fromkeys((*file, *edits)):
            own, edit = file.get(name), edits.get(name)
            try:
                stream = own if edit is None else self._edited(name, own, edit)
            except ConfigError as error:  # of an older version, or edited by hand
                refused.append(f"a change of {name} is not taken: {error}")
                del edits[name]
                stream = own
            if stream is not None:
                streams.append(stream)
        try:
            return _Laid(with_streams(read, streams), edits, refused)
        except ConfigError as error:  # no stream is left, or two write to one place
            refused.append(f"none of the changes of the last run are taken: {error}")
            return _Laid(read, {}, refused)

    def _edited(self, name: str, own: StreamSettings | None, edit: _Edit) -> StreamSettings | None:
        """Raises ConfigError where the edit says what no stream can be."""
        if edit.patch is None:
            return None
        data = data_of(own) if own is not None else {}
        said = laid_over(data, edit.patch)
        return parse(said, StreamSettings, f"{self._path}: {name}", FILLED_IN)

    def _load(self) -> dict[str, _Edit]:
        if self._path is None:
            return {}
        try:
            data = json.loads(self._path.read_text(encoding="utf-8"))
            return {name: _Edit(**edit) for name, edit in data["cameras"].items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            self._tell(f"the changes of the last run cannot be read: {self._path}: {error}")
            return {}

    def _save(self) -> None:
        if self._path is None:
            return
        data = {"cameras": {name: asdict(edit) for name, edit in self._edits.items()}}
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_whole(self._path, json.dumps(data, indent=1).encode(), PRIVATE)
        except OSError as error:
            self._tell(f"the change is kept until the node ends: {self._path}: {error.strerror}")
            return
        if self._lost:
            self._lost = False
            self._emit(Event(Code.EDITS_KEPT, "", f"what is changed is in {self._path}"))


def _by_name(read: NodeSettings) -> dict[str, StreamSettings]:
    return {stream.name: stream for stream in read.streams}


def _base(own: StreamSettings | None) -> str:
    return digest_of(own) if own is not None else ""
