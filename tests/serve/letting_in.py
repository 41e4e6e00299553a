"""What servers of the tests let in."""

from streamsr.core.settings import ServeSettings
from streamsr.serve.access.access import Access
from streamsr.serve.access.certificates import Certificate
from streamsr.serve.access.roles import Role
from streamsr.serve.access.secrets import Secrets
from streamsr.serve.access.tokens import Token

__all__ = ["letting_in"]


def letting_in(
    token: str | None = None,
    certificate: ServeSettings | None = None,
    *,
    role: Role = "control",
) -> Access:
    """Access by one token of this role, over TLS where a certificate is given."""
    tokens = (Token("token", role, token),) if token is not None else ()
    return Access(Secrets(tokens, Certificate.read(certificate or ServeSettings())))
