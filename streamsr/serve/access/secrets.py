"""Tokens and certificate of a server, read again when their files change."""

import asyncio
import logging
import ssl
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from streamsr.core.errors import ConfigError
from streamsr.core.events import Code, Emit, Event
from streamsr.core.redact import redact
from streamsr.core.settings import ServeSettings
from streamsr.serve.access.certificates import Certificate, listening_context
from streamsr.serve.access.tokens import Token, missing_files, read_tokens

__all__ = ["Secrets"]

LOOK_S = 1.0  # between looks at the files; what changed is read once it stays as it is for one
PART = "serve"  # of the node, that events are about
WARN_S = 86_400.0  # between warnings of a certificate that ends

logger = logging.getLogger("streamsr")


@dataclass(slots=True)
class Secrets:
    """What lets clients in. A change of the files that is wrong leaves it as it was."""

    tokens: tuple[Token, ...] = ()
    certificate: Certificate | None = None
    settings: ServeSettings = field(default_factory=ServeSettings)  # which name the files
    stamp: object = None  # of the files when they were last read while it was followed
    refused: bool = False  # the last change was
    gone: frozenset[str] = frozenset()  # tokens that were withdrawn, as their files are gone

    @classmethod
    def read(cls, settings: ServeSettings, without: Container[str] = ()) -> "Secrets":
        """All but the tokens of the names ``without``.

        Raises ConfigError for a file that cannot be read, or holds what is not allowed.
        """
        return cls(read_tokens(settings, without), Certificate.read(settings), settings)

    def tls(self) -> ssl.SSLContext | None:
        """What a server listens with: each handshake shows the present certificate."""
        return listening_context(self._context) if self.certificate is not None else None

    @property
    def asked(self) -> bool:
        """Whether a token is needed: also where the last one was withdrawn."""
        return bool(self.tokens or self.settings.tokens) or self.settings.token_file is not None

    async def use(self, settings: ServeSettings, emit: Emit) -> None:
        """Takes the tokens that other settings name. Raises ConfigError, having changed nothing."""
        now = await asyncio.to_thread(Secrets.read, settings)
        if self.asked and not now.asked:
            raise ConfigError("serve.tokens: to need no token any more takes a new start")
        self.settings = settings
        self.stamp = await asyncio.to_thread(self._look)
        self._take(now, emit)

    async def read_again(self, emit: Emit) -> None:
        """Takes what the files hold now, all of it or nothing, and says what changed.

        The token of a file that is gone is withdrawn, whatever the others hold.
        """
        self.stamp = await asyncio.to_thread(self._look)
        gone = await asyncio.to_thread(missing_files, self.settings)
        self._withdraw(gone, emit)
        try:
            now = await asyncio.to_thread(Secrets.read, self.settings, gone)
        except ConfigError as error:
            message = f"serve: tokens and certificate stay as they were: {redact(error)}"
            self.refused = True
            emit(Event(Code.CONFIG_REFUSED, "", message, part=PART))
            return
        self._take(now, emit, gone)

    def _withdraw(self, gone: Mapping[str, Path], emit: Emit) -> None:
        self.tokens, before = tuple(t for t in self.tokens if t.name not in gone), self.tokens
        for name in (token.name for token in before if token.name in gone):
            message = f"serve: the token {name} counts no more: its file {gone[name]} is gone"
            emit(Event(Code.CONFIG_REFUSED, "", message, part=f"{PART}.{name}"))
        self.gone |= gone.keys()

    def _take(self, now: "Secrets", emit: Emit, gone: Container[str] = ()) -> None:
        changed = _other_tokens(self, now)
        back = {name for name in self.gone if name not in gone}
        changed |= dict.fromkeys(back - changed.keys(), "is no longer named")
        for name, what in sorted(changed.items()):
            message = f"serve: the token {name} {what}"
            emit(Event(Code.CONFIG_RELOADED, "", message, part=f"{PART}.{name}"))
        self.tokens, self.gone = now.tokens, self.gone - back
        renewed = _renewed(self.certificate, now.certificate)
        if renewed:
            self.certificate = now.certificate
        if renewed or self.refused:
            what = ", ".join(renewed) or "tokens and certificate can be read again"
            emit(Event(Code.CONFIG_RELOADED, "", f"serve: {what}", part=PART))
        self.refused = False

    async def follow(self, emit: Emit, look_s: float = LOOK_S) -> None:
        """Reads changed files, and warns of a certificate that ends, until cancelled."""
        if self.certificate is not None:
            logger.info("serve: %s", self.certificate.lasts)
        loop = asyncio.get_running_loop()
        known, warned_s, ends = self.certificate, float("-inf"), False
        self.stamp = seen = await asyncio.to_thread(self._look)
        while True:
            due = known is not self.certificate or loop.time() - warned_s >= WARN_S
            known = self.certificate
            if known is not None and due:
                warned_s = loop.time()
                ends = _tell_time(known, emit, ended_before=ends)
            await asyncio.sleep(look_s)
            before, seen = seen, await asyncio.to_thread(self._look)
            if before == seen != self.stamp:
                await self.read_again(emit)

    def _context(self) -> ssl.SSLContext:
        assert self.certificate is not None  # as it was when the server began to listen
        return self.certificate.context

    def _look(self) -> Sequence[tuple[int, ...]]:
        """What differs once a file was written or another took its place; empty without files."""
        settings = self.settings
        named = [settings.token_file, settings.tls_certificate, settings.tls_key]
        named += [token.file for token in settings.tokens]
        return [_stamp(path) for path in named if path is not None]


def _stamp(path: Path) -> tuple[int, ...]:
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_size


def _other_tokens(before: Secrets, now: Secrets) -> dict[str, str]:
    """What became of the tokens that are others now, by their names."""
    old = {token.name: token for token in before.tokens}
    new = {token.name: token for token in now.tokens}
    ended = dict.fromkeys(old.keys() - new.keys(), "counts no more")
    others = {name: "is another now" for name in old.keys() & new.keys() if old[name] != new[name]}
    return ended | others | dict.fromkeys(new.keys() - old.keys(), "counts")


def _renewed(before: Certificate | None, now: Certificate | None) -> list[str]:
    """What is to be told of another certificate; empty where it is the same."""
    if before is None or now is None or before.pem == now.pem:
        return []
    return [now.lasts]


def _tell_time(certificate: Certificate, emit: Emit, *, ended_before: bool) -> bool:
    """Tells that a certificate ends, or that the one before it did and this one does not."""
    warning = certificate.warning(datetime.now(UTC))
    if warning is not None:
        emit(Event(Code.TLS_EXPIRES, "", warning))
    elif ended_before:
        emit(Event(Code.TLS_RENEWED, "", certificate.lasts))
    return warning is not None
