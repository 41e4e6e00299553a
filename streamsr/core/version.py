"""Which version of streamsr runs."""

from importlib.metadata import PackageNotFoundError, version

__all__ = ["version_of_streamsr"]


def version_of_streamsr() -> str:
    """Returns the installed version, as in "0.1.0"; "0" where it runs out of a folder."""
    try:
        return version("streamsr")
    except PackageNotFoundError:
        return "0"
