"""Finds sources, sinks and networks by name: registered by this program, or of entry points.

An entry point (https://packaging.python.org/specifications/entry-points) is found by its name in
the files of its distribution; its code is imported when it is asked for, and not before. So what is
broken and not asked for stops nothing.
"""

import logging
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import Distribution, EntryPoint, distributions
from types import TracebackType
from typing import Any

from streamsr.core.errors import (
    ConfigError,
    InputError,
    ModelError,
    OutputError,
    UserError,
    nearest,
)
from streamsr.core.redact import redact

__all__ = [
    "BUILT_IN",
    "Kind",
    "Plugin",
    "Registration",
    "find",
    "names",
    "plugins",
    "register",
    "told",
    "unknown",
]

Factory = Callable[..., Any]
logger = logging.getLogger("streamsr")


class Kind(StrEnum):
    """What a plugin is."""

    NETWORK = "network"  # its name is that of a card's ``network``
    SOURCE = "source"  # its name is the scheme of its addresses
    SINK = "sink"  # likewise

    @property
    def group(self) -> str:
        """The group of its entry points."""
        return f"streamsr.{self}s"

    @property
    def error(self) -> type[UserError]:
        """What is raised where one cannot be used."""
        return {"network": ModelError, "source": InputError, "sink": OutputError}[self]

    @property
    def pattern(self) -> str:
        """What its name may be: a scheme is one of RFC 3986, in small letters."""
        return r"[A-Za-z0-9_-]+" if self is Kind.NETWORK else r"[a-z][a-z0-9+.-]*"


LIVE = frozenset({"rtsp", "rtsps", "rtmp", "rtmps", "rtp", "udp", "whip", "demo"})
BUILT_IN = {  # names that streamsr has itself
    Kind.NETWORK: frozenset({"edvr", "fast", "recurrent", "resample"}),
    Kind.SOURCE: LIVE | {"http", "https", "file"},
    Kind.SINK: LIVE | {"http", "https", "file"},
}


@dataclass(frozen=True, slots=True)
class Plugin:
    """A source, a sink or a network by name; ``origin`` says whose it is, for people."""

    kind: Kind
    name: str
    origin: str
    entry_point: EntryPoint | None = None
    factory: Factory | None = None  # of one that this program has registered

    def load(self) -> Factory:
        """Returns what makes one, imported. Raises the kind's error where that fails."""
        made: object = self.factory
        if self.entry_point is not None:
            try:
                made = self.entry_point.load()
            except (Exception, SystemExit) as error:  # it is others' code: whatever it raises
                logger.debug("%s cannot be imported", self, exc_info=error)
                raise self.fault(f"it cannot be imported: {told(error)}") from error
        if not callable(made):
            raise self.fault(f"got {type(made).__name__}, allowed is a callable that makes one")
        return made

    def is_of(self, factory: Factory) -> bool:
        """Whether it is made by ``factory``: registered, or named by an entry point."""
        if self.entry_point is None:
            return bool(self.factory == factory)
        module, name = getattr(factory, "__module__", ""), getattr(factory, "__qualname__", "")
        return self.entry_point.value.replace(" ", "") == f"{module}:{name}"

    def fault(self, what: str) -> UserError:
        """Returns the error that says what is wrong with it."""
        return self.kind.error(f"{self}: {what}")

    def __str__(self) -> str:
        return f"{self.kind} {self.name!r} of {self.origin}"


class Registration:
    """A plugin that this program has registered, until ``remove()``; a context removes it too."""

    def __init__(self, plugin: Plugin) -> None:
        self.plugin = plugin
        self._lasts = True

    def __repr__(self) -> str:
        return f"<streamsr.Registration of {self.plugin}{'' if self._lasts else ', removed'}>"

    def remove(self) -> None:
        """Makes its name free again; what has been opened goes on. Twice does nothing."""
        if self._lasts:
            self._lasts = False
            _registered[self.plugin.kind, self.plugin.name].remove(self.plugin)

    def __enter__(self) -> "Registration":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.remove()


# by this program, in the whole process: as often as it was registered, and is not removed
_registered: defaultdict[tuple[Kind, str], list[Plugin]] = defaultdict(list)
_warned: set[str] = set()  # what is said once


def register(kind: Kind, name: str, factory: Factory) -> Registration:
    """Registers a plugin in this process.

    Raises ConfigError where the name is none, or is streamsr's own, another registration's or a
    distribution's.
    """
    if not isinstance(name, str) or (fault := _name_fault(kind, name)):
        fault = fault if isinstance(name, str) else "its name comes first, allowed is a text"
        raise ConfigError(f"{kind} {name!r}: {fault}")
    if not callable(factory):
        got = type(factory).__name__
        raise ConfigError(f"{kind} {name!r}: got {got}, allowed is a callable that makes one")
    for other in plugins(kind):
        if other.name == name and not other.is_of(factory):
            raise ConfigError(f"{kind} {name!r}: there is one already, of {other.origin}")
    plugin = Plugin(kind, name, "this program", factory=factory)
    _registered[kind, name].append(plugin)
    return Registration(plugin)


def find(kind: Kind, name: str) -> Plugin | None:
    """Returns the plugin of this name; None where there is none.

    Raises the kind's error where several distributions have one: none of them is taken.
    """
    if name in BUILT_IN[kind]:
        return None
    if mine := _registered.get((kind, name)):
        return mine[0]
    found = [plugin for plugin in plugins(kind) if plugin.name == name]
    if len(found) > 1:
        origins = " and ".join(plugin.origin for plugin in found)
        raise kind.error(
            f"{kind} {name!r}: got {len(found)} of this name, of {origins}: allowed is one, "
            "uninstall the others"
        )
    return found[0] if found else None


def names(kind: Kind) -> list[str]:
    """Returns the names of all plugins of a kind, streamsr's own left out."""
    return sorted({plugin.name for plugin in plugins(kind)})


def unknown(kind: Kind, name: str, own: list[str]) -> str:
    """Returns what to say of a name that there is not, beside those of streamsr's ``own``."""
    known = sorted({*own, *names(kind)})
    allowed = ", ".join(known) or f"none: no {kind} is registered or installed"
    return f"got {redact(name)!r}{nearest(name, known)}, allowed are {allowed}"


def plugins(kind: Kind) -> Iterator[Plugin]:
    """Yields every plugin of a kind, those registered first; what is no plugin is said once."""
    yield from (same[0] for (of, _), same in list(_registered.items()) if same and of is kind)
    seen: set[str] = set()
    for distribution in distributions():
        try:
            if kind.group in (distribution.read_text("entry_points.txt") or ""):
                name, version = _title(distribution)
                if name.lower() not in seen:  # the one found first is the one that is imported
                    yield from _entry_points(kind, distribution, f"{name} {version}".strip())
                seen.add(name.lower())
        except Exception as error:  # others' files: one that is damaged must not hide the rest
            _warn(f"entry points of {_title(distribution)[0]} cannot be read: {told(error)}")


def _entry_points(kind: Kind, distribution: Distribution, title: str) -> Iterator[Plugin]:
    for point in distribution.entry_points:
        if point.group != kind.group:
            continue
        origin = f"{title} (entry point {point.name} = {point.value})"
        if fault := _name_fault(kind, point.name):
            _warn(f"{kind} {point.name!r} of {origin} is left out: {fault}")
        else:
            yield Plugin(kind, point.name, origin, point)


def _title(distribution: Distribution) -> tuple[str, str]:
    """A distribution's name, and its version; without metadata the name of its folder."""
    try:
        name, version = distribution.metadata["Name"], distribution.version
    except Exception:  # as above
        name = version = ""
    folder = getattr(getattr(distribution, "_path", None), "name", "a distribution")
    return (str(name), str(version)) if name else (str(folder), "")


def _name_fault(kind: Kind, name: str) -> str:
    """What is wrong with a name; "" where nothing is."""
    if name in BUILT_IN[kind]:
        return "it is streamsr's own name, allowed is another one"
    if not re.fullmatch(kind.pattern, name):
        allowed = "letters, digits, '_' and '-'"
        if kind is not Kind.NETWORK:
            allowed = "small letters, then digits, '+', '.' and '-' too: it is a scheme"
        return f"got {name!r}, allowed are {allowed}"
    return ""


def _warn(text: str) -> None:
    if text not in _warned:
        _warned.add(text)
        logger.warning("%s", redact(text))


def told(error: BaseException) -> str:
    """Returns what an exception of others' code says, in one line and without secrets."""
    text = " ".join(str(error).split())
    return redact(f"{type(error).__name__}: {text}" if text else type(error).__name__)
