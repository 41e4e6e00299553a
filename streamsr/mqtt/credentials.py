"""What a client shows the broker, its password, and what it checks the broker's certificate by."""

import ssl
from dataclasses import dataclass, field
from pathlib import Path

from streamsr.core.errors import ConfigError
from streamsr.core.first_line import first_line
from streamsr.core.redact import protect_word, redact, secret_variable
from streamsr.core.settings import MqttSettings

__all__ = ["Credentials", "read_credentials"]

VARIABLE = "STREAMSR_MQTT_PASSWORD"


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a connection to the broker needs."""

    password: str | None = field(repr=False)
    tls: ssl.SSLContext | None  # None: without TLS


def read_credentials(settings: MqttSettings) -> Credentials:
    """Reads what the settings name; from then on redact() removes the password.

    Raises ConfigError for settings in contradiction and files that cannot be read.
    """
    if any(sign in settings.host for sign in "/@ ") or not settings.host.isprintable():
        raise ConfigError(
            f"mqtt.host: got {redact(settings.host)!r}, allowed is a name or an address alone"
        )
    if settings.ca_file is not None and not settings.tls:
        raise ConfigError("mqtt.ca_file: got a file, allowed is none unless mqtt.tls is true")
    password = _password(settings)
    if password is not None:
        protect_word(password)
    return Credentials(password, _tls(settings.ca_file) if settings.tls else None)


def _password(settings: MqttSettings) -> str | None:
    path = settings.password_file
    if path is None:
        return (secret_variable(VARIABLE) or None) if settings.username else None
    if not settings.username:
        raise ConfigError("mqtt.password_file: got a file, allowed is none without mqtt.username")
    return first_line(path, f"mqtt.password_file {path}")


def _tls(ca_file: Path | None) -> ssl.SSLContext:
    """A context that checks the broker's certificate, and that it is for the broker's name."""
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except ssl.SSLError:
        raise ConfigError(f"mqtt.ca_file {ca_file}: allowed are certificates in PEM") from None
    except OSError as error:
        raise ConfigError(f"mqtt.ca_file {ca_file} cannot be read: {error.strerror}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.sslsocket_class = _Socket
    return context


class _Socket(ssl.SSLSocket):
    """Closes itself when the handshake fails: paho would leave it to the garbage collector."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except BaseException:
            self.close()
            raise
