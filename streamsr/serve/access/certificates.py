"""The server's certificate: the TLS it makes, and until when it holds."""

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509

from streamsr.core.errors import ConfigError
from streamsr.core.settings import ServeSettings
from streamsr.serve.access.tokens import read_file

__all__ = ["SELF_SIGNED", "Certificate", "listening_context", "make_certificate_context"]

SELF_SIGNED = (
    "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 365 "
    "-subj /CN=streamsr -keyout key.pem -out certificate.pem"
)
SOON = timedelta(days=14)


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate with the TLS that shows it."""

    path: Path
    pem: bytes
    context: ssl.SSLContext
    begins: datetime  # of the whole chain, in UTC
    ends: datetime

    @classmethod
    def read(cls, settings: ServeSettings) -> "Certificate | None":
        """The certificate of the settings; None where there is none.

        Raises ConfigError for files that cannot be read or do not belong together.
        """
        path, key = settings.tls_certificate, settings.tls_key
        if path is None or key is None:
            return None
        pem = read_file(path, f"serve.tls_certificate {path}")
        if b"ENCRYPTED" in read_file(key, f"serve.tls_key {key}"):
            raise ConfigError(f"serve.tls_key {key}: it needs a password, allowed is a key without")
        context = make_certificate_context(path, key)
        try:
            chain = x509.load_pem_x509_certificates(pem)
        except ValueError:
            raise ConfigError(f"serve.tls_certificate {path}: allowed is a PEM file") from None
        begins = max(certificate.not_valid_before_utc for certificate in chain)
        return cls(path, pem, context, begins, min(c.not_valid_after_utc for c in chain))

    @property
    def lasts(self) -> str:
        """Until when it holds, as a sentence."""
        return f"the certificate {self.path} holds until {_moment(self.ends)}"

    def warning(self, now: datetime) -> str | None:
        """What is wrong with its time, or will be within 14 days; None where nothing is."""
        if now < self.begins:
            return f"the certificate {self.path} holds only from {_moment(self.begins)} on"
        if now >= self.ends:
            return f"{self.lasts}, which is over: clients refuse it, renew it"
        days = (self.ends - now) // timedelta(days=1)
        return f"{self.lasts}, {days} days more: renew it" if self.ends - now <= SOON else None


def _moment(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M} UTC"


def make_certificate_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """The server's side of TLS 1.2 and later. Raises ConfigError."""
    context = _context()
    try:
        context.load_cert_chain(certificate, key, password="")  # never asks at the terminal
    except (ssl.SSLError, OSError) as error:
        mismatch = "MISMATCH" in (getattr(error, "reason", None) or "")
        why = "they do not belong together" if mismatch else "allowed are PEM files"
        raise ConfigError(
            f"serve.tls_certificate {certificate} and serve.tls_key {key}: {why}"
        ) from None
    return context


def listening_context(current: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    """A context for a server that goes on listening: each handshake shows the ``current`` one."""

    def choose(connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = current()

    context = _context()
    context.sni_callback = choose
    return context


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context
