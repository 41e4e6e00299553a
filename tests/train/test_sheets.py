"""Sheets: images lie side by side as they are, with text around them."""

from pathlib import Path

import numpy as np
import pytest
import torch

from streamsr.core.errors import OutputError
from streamsr.media.images import read_image
from streamsr.train.sheets import middle, sheet, write_png


def test_a_sheet_holds_its_images(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    one, two, three = (
        random.integers(0, 256, shape, dtype=np.uint8)
        for shape in ((20, 90, 3), (30, 90, 3), (10, 40, 3))
    )
    made = sheet([("first", [("a", one), ("b", two)]), ("second", [("c", three)])])
    np.testing.assert_array_equal(made[14:34, :90], one)
    np.testing.assert_array_equal(made[14:44, 96:186], two)
    np.testing.assert_array_equal(made[14 + 44 + 14 :][:10, :40], three)
    for text in (made[:14, :90], made[34:48, :90]):  # the title, and the name below
        assert text.max() == 255
        assert text.min() < 128
    write_png(tmp_path / "sheet.png", made)
    np.testing.assert_array_equal(read_image(tmp_path / "sheet.png").planes[0], made)
    with pytest.raises(OutputError, match="cannot be written"):
        write_png(tmp_path / "none" / "sheet.png", made)


def test_the_middle_is_shown_and_luma_becomes_grey() -> None:
    luma = torch.full((1, 8, 12), 16.0)
    luma[:, 2:6, 3:9] = 235
    assert (middle(luma, 4, 6) == 255).all()
    assert middle(luma, 4, 6).shape == (4, 6, 3)
    whole = middle(luma, 100, 100)
    assert whole.shape == (8, 12, 3)
    assert (whole[0] == 0).all()
    colours = torch.arange(3 * 8 * 12).reshape(3, 8, 12).float()
    np.testing.assert_array_equal(middle(colours, 2, 100), colours[:, 3:5].permute(1, 2, 0))
