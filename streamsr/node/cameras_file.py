"""A node's own file as what keeps its edits: only what changed is written, comments stay."""

import errno
import os
import stat
from collections.abc import Iterable, MutableMapping, MutableSequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import Array, InlineTable, Table
from tomlkit.toml_document import TOMLDocument

from streamsr.core.config import load
from streamsr.core.errors import StreamsrError, UserError
from streamsr.core.files import write_whole
from streamsr.core.redact import shown
from streamsr.core.settings import NodeSettings, StreamSettings
from streamsr.node.merge import data_of

__all__ = ["CamerasFile"]

NAMELESS = StreamSettings.model_fields["name"].default
NOT_FOR_ALL = 0o640  # what a file that holds a password may be at most
IN_PLACE = {errno.EBUSY, errno.EXDEV}  # a file that is mounted by itself cannot be replaced


class CamerasFile:
    """The edits of a node, written into the file that it runs by."""

    def __init__(self, path: Path, overrides: Iterable[str] = ()) -> None:
        """``overrides``: what the command line lays over the file, which stays out of it."""
        self.kind = "file"
        self.written_ns = 0
        self._path = path.resolve()  # a link stays one
        self._overrides = list(overrides)
        self._text = self._path.read_text(encoding="utf-8")  # that the node runs by

    def applied(self, read: NodeSettings) -> NodeSettings:
        return read

    def commit(self, read: NodeSettings) -> None:
        with suppress(OSError, UnicodeDecodeError):
            self._text = self._path.read_text(encoding="utf-8")

    def drop(self, name: str, why: str) -> None:
        """There is nothing that the file does not say."""

    def keep(self, before: StreamSettings | None, after: StreamSettings | None) -> None:
        try:
            text = self._path.read_text(encoding="utf-8")
            edited = _edited(tomlkit.parse(text), before, after)
            self._check(edited, before, after)
            self._write(edited, private=_tells_a_secret(before, after))
        except OSError as error:
            raise UserError(f"{self._path}: it cannot be written: {error.strerror}") from None
        except (TOMLKitError, UnicodeDecodeError, KeyError, TypeError, ValueError) as error:
            raise UserError(f"{self._path}: it cannot be edited: {error}") from None
        if text == self._text:  # else somebody else's change is still to be read
            self._text = edited
            self.written_ns = self._path.stat().st_mtime_ns

    def _check(
        self, text: str, before: StreamSettings | None, after: StreamSettings | None
    ) -> None:
        """Raises UserError where the edited file does not say what it is to say."""
        trial = self._path.with_name(f".{self._path.name}.{os.getpid()}.trial")
        write_whole(trial, text.encode(), stat.S_IRUSR | stat.S_IWUSR)
        try:
            found = {s.name: s for s in load(trial, NodeSettings, self._overrides).streams}
        except StreamsrError as error:
            why = str(error).replace(str(trial), str(self._path))
            raise UserError(f"nothing was written: {why}") from None
        finally:
            trial.unlink(missing_ok=True)
        name = (after or before or StreamSettings.model_construct()).name
        if found.get(name) != after:
            raise UserError(
                f"{self._path}: nothing was written: with what the command line and the "
                f"environment say, {name} would not be as asked for"
            )

    def _write(self, text: str, *, private: bool) -> None:
        """Keeps whose it is and who may read it, but that what is ``private`` is not for all."""
        status = self._path.stat()
        mode = stat.S_IMODE(status.st_mode) & (NOT_FOR_ALL if private else ~0)
        try:
            write_whole(self._path, text.encode(), mode)
        except OSError as error:
            if error.errno not in IN_PLACE:
                raise
            with self._path.open("r+b") as file:
                os.fchmod(file.fileno(), mode)
                file.write(text.encode())
                file.truncate()
        with suppress(OSError):  # it stays the one's whose it was, where that is ours to say
            os.chown(self._path, status.st_uid, status.st_gid)


def _tells_a_secret(before: StreamSettings | None, after: StreamSettings | None) -> bool:
    """Whether an address that is written says more than anybody may see."""
    new = _addresses(after) - _addresses(before)
    return any("://" in url and shown(url) != url for url in new)


def _addresses(stream: StreamSettings | None) -> set[str]:
    if stream is None:
        return set()
    servers, sinks = (p.url for p in stream.publish), (sink.url for sink in stream.sinks)
    return {stream.input.url, *servers, *sinks}


def _edited(
    document: TOMLDocument, before: StreamSettings | None, after: StreamSettings | None
) -> str:
    """The document's text with one stream changed, added (None before) or removed (None after)."""
    streams: Any = document["streams"]
    if before is None and after is not None:
        table = _item({"name": after.name} | data_of(after, brief=True), streams)
        if isinstance(table, Table):
            table.trivia.indent = "\n"  # an empty line before it
        streams.append(table)
        return tomlkit.dumps(document)
    assert before is not None
    names = [str(stream.get("name", NAMELESS)) for stream in streams]
    index = names.index(before.name)
    if after is None:
        del streams[index]
    else:
        _change(streams[index], data_of(before), data_of(after))
    return tomlkit.dumps(document)


def _change(table: MutableMapping[str, Any], before: dict[str, Any], after: dict[str, Any]) -> None:
    """Makes a table say ``after`` where it says ``before``; what is the same is not touched."""
    for key in before.keys() - after.keys():
        table.pop(key, None)
    for key, value in after.items():
        old = before.get(key)
        if old == value:
            continue
        here = table.get(key)
        if isinstance(value, dict) and isinstance(old, dict) and here is not None:
            _change(here, old, value)
        elif isinstance(value, dict) and isinstance(old, dict):  # all of it was left out
            group = _item({k: v for k, v in value.items() if old.get(k) != v}, table)
            if isinstance(group, Table):
                group.add(tomlkit.nl())
            table[key] = group
        elif isinstance(value, list) and isinstance(old, list) and here is not None:
            _change_list(here, old, value)
        else:
            table[key] = _item(value, table)


def _change_list(items: MutableSequence[Any], before: list[Any], after: list[Any]) -> None:
    for index in reversed(range(len(after), len(items))):
        del items[index]
    for index, value in enumerate(after):
        if index >= len(items):
            items.append(_item(value, items))
        elif index >= len(before) or before[index] != value:
            items[index] = _item(value, items)


def _item(value: Any, within: object) -> Any:
    """A value as TOML has it: tables stand on lines of their own, but within one that does not."""
    if not isinstance(within, InlineTable | Array):
        return tomlkit.item(value)
    if isinstance(value, dict):
        table = tomlkit.inline_table()
        table.update({key: _item(inner, table) for key, inner in value.items()})
        return table
    if isinstance(value, list):
        array = tomlkit.array()
        array.extend(_item(inner, array) for inner in value)
        return array
    return tomlkit.item(value)
