"""Charts: what is drawn lies where its figures say."""

import sys
from pathlib import Path

import numpy as np
import pytest

from streamsr.core.errors import OutputError, UserError
from streamsr.core.frame import Plane
from streamsr.media.images import read_image
from streamsr.train.chart import check_charts, line_chart, scatter_chart

COLOURS = (0x1F77B4, 0xFF7F0E, 0x2CA02C)  # of matplotlib's cycle


def places(path: Path, number: int) -> tuple[Plane, Plane]:
    """Rows and columns of the pixels in the colour of the series of that number."""
    pixels = read_image(path).planes[0].astype(int)
    colour = np.array(list(COLOURS[number].to_bytes(3, "big")))
    rows, columns = np.nonzero((np.abs(pixels - colour) < 12).all(-1))
    return rows, columns


def test_dots_lie_where_their_figures_say(tmp_path: Path) -> None:
    path = tmp_path / "dots.png"
    dots = {"a": (0.0, 10.0), "b": (10.0, 10.0), "c": (10.0, 20.0)}
    scatter_chart(path, "title", ("across", "up"), dots)
    one, two, three = (places(path, n) for n in range(3))
    assert abs(one[0].mean() - two[0].mean()) < 1.5  # level
    assert abs(two[1].mean() - three[1].mean()) < 1.5  # above one another
    assert three[0].mean() < two[0].mean() - 200
    assert two[1].mean() > one[1].mean() + 400


def test_a_line_joins_its_points(tmp_path: Path) -> None:
    path = tmp_path / "line.png"
    line_chart(path, "title", ("across", "up"), {"peak": [(0, 0), (1, 1), (2, 0)]})
    rows, columns = places(path, 0)
    assert np.ptp(columns) > 600
    assert np.ptp(rows) > 300
    assert len(np.unique(columns)) > 0.9 * np.ptp(columns)  # joined from end to end


def test_one_figure_alone_can_be_drawn(tmp_path: Path) -> None:
    scatter_chart(tmp_path / "one.png", "", ("", ""), {"a": (5.0, 1.0)})
    rows, _ = places(tmp_path / "one.png", 0)
    assert len(rows) > 5


def test_a_chart_that_cannot_be_written_is_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written: No such file"):
        scatter_chart(tmp_path / "none" / "x.png", "", ("", ""), {"a": (5.0, 1.0)})


def test_the_extra_is_named_where_matplotlib_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    check_charts()
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UserError, match=r"pip install 'streamsr\[train\]'"):
        check_charts()
