"""Addresses as they are meant, which know how a file says them."""

from streamsr.core.redact.environment import filled_in

__all__ = ["as_said", "meant"]


class _Meant(str):
    said: str

    def __new__(cls, address: str, said: str) -> "_Meant":
        self = super().__new__(cls, address)
        self.said = said
        return self


def meant(address: str) -> str:
    """Returns an address with the values of variables and files in their places, its secrets
    protected. Raises ValueError where there is none."""
    filled = filled_in(address)
    return filled if filled == address else _Meant(filled, address)


def as_said(address: str) -> str:
    """Returns what ``meant`` was given, for what it returned; any other as it is."""
    return address.said if isinstance(address, _Meant) else address
