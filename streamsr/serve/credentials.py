"""The server's secrets: the token that viewers need, and the certificate it shows them.

Reads them, refuses those that would not hold, and never says a secret in an error.
"""

import base64
import binascii
import os
import ssl
from pathlib import Path

from streamsr.core.errors import ConfigError
from streamsr.core.redact import protect_word
from streamsr.core.settings import ServeSettings

__all__ = ["check_token", "make_tls", "presented_token", "read_token"]

VARIABLE = "STREAMSR_TOKEN"
SHORTEST = 16  # characters


def read_token(settings: ServeSettings) -> str | None:
    """The token of ``token_file``, or else of the environment; None where neither is set.

    From now on redact() removes it. Raises ConfigError where it cannot be read or guards nothing.
    """
    path = settings.token_file
    if path is not None:
        where = f"serve.token_file {path}"
        token = _read(path, where).decode(errors="replace").partition("\n")[0].rstrip("\r")
    elif VARIABLE in os.environ:
        where, token = VARIABLE, os.environ[VARIABLE]
    else:
        return None
    check_token(token, where)
    protect_word(token)
    return token


def check_token(token: str, where: str) -> None:
    """Raises ConfigError for a token that is soon guessed or that a header cannot carry."""
    if len(token) < SHORTEST:
        raise ConfigError(
            f"{where}: got a token of {len(token)} characters, allowed are {SHORTEST} and more; "
            "make one: openssl rand -hex 32"
        )
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise ConfigError(f"{where}: a token is made of ASCII letters, digits and punctuation")


def presented_token(authorization: str) -> str | None:
    """The token in an Authorization header: Bearer (RFC 6750), or Basic's password (RFC 7617).

    Basic is what makes a browser ask for it and send it along from then on. None: neither of both.
    """
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() != "basic":
        return None
    try:
        pair = base64.b64decode(value.strip(), validate=True).decode()
    except (binascii.Error, ValueError):
        return None
    return pair.partition(":")[2]


def make_tls(settings: ServeSettings) -> ssl.SSLContext | None:
    """What the server shows of itself, TLS 1.2 and later; None where no certificate is set.

    Raises ConfigError for files that cannot be read or do not belong together.
    """
    certificate, key = settings.tls_certificate, settings.tls_key
    if certificate is None or key is None:
        return None
    _read(certificate, f"serve.tls_certificate {certificate}")
    if b"ENCRYPTED" in _read(key, f"serve.tls_key {key}"):
        raise ConfigError(f"serve.tls_key {key}: it needs a password, allowed is a key without")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate, key, password="")  # never asks at the terminal
    except ssl.SSLError as error:
        mismatch = "MISMATCH" in (error.reason or "")
        why = "they do not belong together" if mismatch else "allowed are PEM files"
        raise ConfigError(
            f"serve.tls_certificate {certificate} and serve.tls_key {key}: {why}"
        ) from None
    return context


def _read(path: Path, where: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{where} cannot be read: {error.strerror}") from None
