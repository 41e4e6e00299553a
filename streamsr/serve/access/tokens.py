"""Tokens: named secrets, each of a role, and which of them a client presents.

Never says one in an error.
"""

import hmac
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, field
from errno import ENOENT
from hashlib import sha256
from pathlib import Path

from aiohttp import BasicAuth

from streamsr.core.errors import ConfigError
from streamsr.core.first_line import first_line
from streamsr.core.redact import protect_word, secret_variable
from streamsr.core.settings import ServeSettings
from streamsr.core.settings.serve import MAIN_TOKEN, TokenSettings
from streamsr.serve.access.roles import Role

__all__ = ["Token", "find_token", "missing_files", "presented_token", "read_file", "read_tokens"]

VARIABLE = "STREAMSR_TOKEN"
SHORTEST = 16  # characters of a token
VARIED = 6  # different characters of it
ADVICE = "make one: openssl rand -hex 32"


@dataclass(frozen=True, slots=True)
class Token:
    """A token, which ``find_token`` finds. Raises ConfigError for one that is soon guessed."""

    name: str
    role: Role
    secret: str = field(repr=False)

    def __post_init__(self) -> None:
        _check(self.secret, f"token {self.name}")


def read_tokens(settings: ServeSettings, without: Container[str] = ()) -> tuple[Token, ...]:
    """All tokens of the settings, the one of ``token_file`` or the environment first.

    Those of the names ``without`` are left out. From now on redact() removes them. Raises
    ConfigError where one cannot be read, is too weak or is there twice.
    """
    found: list[tuple[str, Token]] = []
    if settings.token_file is None and (said := secret_variable(VARIABLE)) is not None:
        found.append((VARIABLE, _token(MAIN_TOKEN, "control", said, VARIABLE)))
    for key, given in _named(settings):
        if given.name not in without:
            where = f"{key} {given.file}"
            secret = first_line(given.file, where)
            found.append((where, _token(given.name, given.role, secret, where)))
    names: dict[str, str] = {}
    for where, token in found:
        other = names.setdefault(token.secret, token.name)
        if other != token.name:
            raise ConfigError(f"{where}: got the token that {other} has, each needs one of its own")
    return tuple(token for _, token in found)


def missing_files(settings: ServeSettings) -> dict[str, Path]:
    """The files of tokens that are not there, by the token's name. One that cannot be read is."""
    return {given.name: given.file for _, given in _named(settings) if _is_gone(given.file)}


def _named(settings: ServeSettings) -> Iterator[tuple[str, TokenSettings]]:
    """The tokens that have files, and the keys that name these."""
    if (file := settings.token_file) is not None:
        yield "serve.token_file", TokenSettings(name=MAIN_TOKEN, role="control", file=file)
    for number, given in enumerate(settings.tokens):
        yield f"serve.tokens.{number}.file", given


def _is_gone(path: Path) -> bool:
    try:
        path.stat()
    except OSError as error:
        return error.errno == ENOENT
    return False


def find_token(tokens: Iterable[Token], presented: str) -> Token | None:
    """The token that is presented. Takes as long for every wrong one, however near it comes."""
    digest = sha256(presented.encode(errors="surrogatepass")).digest()
    right = None
    for token in tokens:
        if hmac.compare_digest(digest, sha256(token.secret.encode()).digest()):
            right = token
    return right


def presented_token(authorization: str) -> str | None:
    """The token in an Authorization header: Bearer (RFC 6750), or Basic's password (RFC 7617).

    Basic is what makes a browser ask for it and send it along from then on. None: neither of both.
    """
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    try:
        pair: BasicAuth = BasicAuth.decode(authorization, "utf-8")
        return str(pair.password)
    except ValueError:
        return None


def read_file(path: Path, where: str) -> bytes:
    """The bytes of a file. Raises ConfigError, which says ``where`` it was named."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{where} cannot be read: {error.strerror}") from None


def _token(name: str, role: Role, secret: str, where: str) -> Token:
    _check(secret, where)
    protect_word(secret)
    return Token(name, role, secret)


def _check(secret: str, where: str) -> None:
    """Raises ConfigError for a token that is soon guessed or that a header cannot carry."""
    if len(secret) < SHORTEST:
        raise ConfigError(
            f"{where}: got a token of {len(secret)} characters, allowed are {SHORTEST} and more; "
            + ADVICE
        )
    if not (secret.isascii() and secret.isprintable()) or " " in secret:
        raise ConfigError(f"{where}: a token is made of ASCII letters, digits and punctuation")
    if len(set(secret)) < VARIED:
        raise ConfigError(
            f"{where}: got a token of {len(set(secret))} different characters, allowed are "
            f"{VARIED} and more; {ADVICE}"
        )
