"""What a server is told of who may come, and by which ways."""

from dataclasses import dataclass, field

from streamsr.core.errors import ConfigError
from streamsr.core.settings import ServeSettings
from streamsr.serve.access.certificates import SELF_SIGNED
from streamsr.serve.access.forwarded import TrustedProxies, is_loopback
from streamsr.serve.access.origins import Origins
from streamsr.serve.access.secrets import Secrets

__all__ = ["Access"]


@dataclass(frozen=True, slots=True)
class Access:
    """By default, this machine alone."""

    secrets: Secrets = field(default_factory=Secrets)
    proxies: TrustedProxies = field(default_factory=TrustedProxies)
    origins: Origins = field(default_factory=Origins)
    base_path: str = ""  # "/PATH", which a proxy leaves on

    @classmethod
    def of(cls, settings: ServeSettings) -> "Access":
        """Raises ConfigError for files that cannot be read or hold what is not allowed."""
        return cls(
            Secrets.read(settings),
            TrustedProxies(settings.trusted_proxies),
            Origins(settings.allowed_origins),
            settings.base_path,
        )

    def check_exposure(self, host: str) -> None:
        """Raises ConfigError where strangers could watch, or read along.

        What comes from a trusted proxy came to it over TLS; without TLS nobody else is let in.
        """
        missing = []
        if not self.secrets.tokens:
            missing.append("a token (serve.token_file, or STREAMSR_TOKEN in the environment)")
        if self.secrets.certificate is None and not self.proxies:
            missing.append(
                f"TLS (serve.tls_certificate and serve.tls_key, made by: {SELF_SIGNED}), "
                "its own or that of a proxy in serve.trusted_proxies"
            )
        if missing and not is_loopback(host):
            raise ConfigError(
                f"listening on {host}: off loopback a token and TLS are needed, and what is "
                "missing is " + " and ".join(missing)
            )

    def refuse_plain(self, peer: str) -> str | None:
        """Why a request is refused that came straight from this address; None where it is not."""
        closed = self.secrets.certificate is None and not is_loopback(peer)
        if not closed or self.proxies.trusts(peer):
            return None
        return (
            f"got a request without TLS from {peer}, allowed are those of serve.trusted_proxies: "
            "come by the proxy, or list its address there"
        )

    def base_of(self, path: str) -> str:
        """What of ``base_path`` a request came with: all or, straight from a client, nothing."""
        return self.base_path if path.startswith(f"{self.base_path}/") else ""

    def below_base(self, path: str) -> str:
        """A request's path without that."""
        return path.removeprefix(self.base_of(path))
