"""What a server is told of who may come, and by which ways."""

from dataclasses import dataclass, field

from streamsr.core.settings import ServeSettings
from streamsr.serve.access.forwarded import TrustedProxies
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

    def base_of(self, path: str) -> str:
        """What of ``base_path`` a request came with: all or, straight from a client, nothing."""
        return self.base_path if path.startswith(f"{self.base_path}/") else ""

    def below_base(self, path: str) -> str:
        """A request's path without that."""
        return path.removeprefix(self.base_of(path))
