"""Charts and sheets: what is drawn lies where its figures say."""

from pathlib import Path

import numpy as np
import pytest

from streamsr.core.errors import OutputError
from streamsr.core.frame import Plane
from streamsr.media.images import read_image
from streamsr.train.chart import COLOURS, Series, chart, sheet, write_picture


def places(picture: Plane, number: int) -> tuple[Plane, Plane]:
    """Rows and columns of the pixels in the colour of the series of that number."""
    colour = np.array(list(COLOURS[number].to_bytes(3, "big")))
    rows, columns = np.nonzero((np.abs(picture.astype(int) - colour) < 12).all(-1))
    return rows, columns


def test_dots_lie_where_their_figures_say() -> None:
    dots = [Series("", [(x, y)], joined=False) for x, y in ((0, 10), (10, 10), (10, 20))]
    one, two, three = (places(chart(dots, "", "", ""), n) for n in range(3))
    assert abs(one[0].mean() - two[0].mean()) < 1.5  # level
    assert abs(two[1].mean() - three[1].mean()) < 1.5  # above one another
    assert three[0].mean() < two[0].mean() - 200
    assert two[1].mean() > one[1].mean() + 400


def test_a_line_passes_through_its_points() -> None:
    picture = chart([Series("", [(0, 0), (1, 1), (2, 0)])], "title", "across", "up")
    rows, columns = places(picture, 0)
    peak = columns[rows == rows.min()].mean()
    assert peak == pytest.approx((columns.min() + columns.max()) / 2, abs=3)
    assert picture.shape[2] == 3


def test_one_figure_alone_can_be_drawn() -> None:
    rows, _ = places(chart([Series("a", [(5.0, 1.0)], joined=False)], "", "", ""), 0)
    assert len(rows) > 5


def test_a_sheet_holds_its_pictures(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    one, two, three = (
        random.integers(0, 256, shape, dtype=np.uint8)
        for shape in ((20, 90, 3), (30, 90, 3), (10, 40, 3))
    )
    made = sheet([("first", [("a", one), ("b", two)]), ("second", [("c", three)])])
    np.testing.assert_array_equal(made[14:34, :90], one)
    np.testing.assert_array_equal(made[14:44, 96:186], two)
    np.testing.assert_array_equal(made[14 + 44 + 14 :][:10, :40], three)
    write_picture(tmp_path / "sheet.png", made)
    np.testing.assert_array_equal(read_image(tmp_path / "sheet.png").planes[0], made)
    with pytest.raises(OutputError, match="cannot be written"):
        write_picture(tmp_path / "none" / "sheet.png", made)
