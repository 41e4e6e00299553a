"""Charts as PNG files, drawn by matplotlib, which the extra ``train`` installs."""

from __future__ import annotations  # matplotlib is imported where it is needed, and may be missing

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from streamsr.core.errors import OutputError, UserError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["check_charts", "line_chart", "scatter_chart"]

Point = tuple[float, float]


def check_charts() -> None:
    """Raises UserError where matplotlib is not installed."""
    if find_spec("matplotlib") is None:
        raise UserError(
            "charts need matplotlib, which is not installed: pip install 'streamsr[train]'"
        )


def line_chart(
    path: Path, title: str, labels: tuple[str, str], lines: Mapping[str, Sequence[Point]]
) -> None:
    """Draws a line through each name's points; ``labels`` are of the axes across and up.

    Raises UserError where matplotlib is missing, OutputError where ``path`` cannot be written.
    """
    with _chart(path, title, labels) as axes:
        for name, points in lines.items():
            axes.plot(*zip(*points, strict=True), label=name)
        axes.legend()


def scatter_chart(
    path: Path, title: str, labels: tuple[str, str], points: Mapping[str, Point]
) -> None:
    """Draws a dot for each name, the name beside it. Raises as ``line_chart`` does."""
    with _chart(path, title, labels) as axes:
        axes.margins(x=0.15)  # for the names
        for name, point in points.items():
            axes.scatter(*point)
            axes.annotate(name, point, (6, 0), textcoords="offset points")


@contextmanager
def _chart(path: Path, title: str, labels: tuple[str, str]) -> Iterator[Axes]:
    """Axes to draw on; they are written once that is done."""
    check_charts()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.7, 5.4))
    # fixed margins: to fit them would draw twice
    place = (0.09, 0.1, 0.88, 0.82)
    axes = figure.add_axes(place, title=title, xlabel=labels[0], ylabel=labels[1])
    axes.grid(alpha=0.3)
    yield axes
    try:
        figure.savefig(path)
    except OSError as error:
        raise OutputError(f"chart {path}: cannot be written: {error.strerror}") from None
