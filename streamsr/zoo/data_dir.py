"""Where the data is that streamsr comes with: beside the package, or in it in a wheel."""

from pathlib import Path

__all__ = ["data_dir"]


def data_dir(kind: str) -> Path:
    """Returns the folder of "models" or "pipelines"."""
    package = Path(__file__).resolve().parents[1]
    return next(p for p in (package / kind, package.parent / kind) if p.is_dir())
