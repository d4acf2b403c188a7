"""Sheets of thumbnails hold every picture at its place."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from knowbound.labels import Kind
from knowbound.report.thumbnails import MOST, SIDE, Sheets, sheet
from tests.report.samples import judged


@pytest.mark.parametrize("channels", [1, 3])
def test_each_picture_is_at_its_place(channels: int) -> None:
    values = np.arange(7, dtype=np.uint8) * 30
    images = np.broadcast_to(values[:, None, None, None], (7, channels, 8, 8))
    made = sheet(images)
    data = str(made["source"]).removeprefix("data:image/jpeg;base64,")
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
    assert pixels.shape[:2] == (SIDE * int(made["rows"]), SIDE * int(made["columns"]))
    for place, value in enumerate(values):
        row, column = divmod(place, int(made["columns"]))
        tile = pixels[SIDE * row : SIDE * (row + 1), SIDE * column : SIDE * (column + 1)]
        assert np.abs(tile.astype(int) - value).max() < 12  # JPEG is not exact


def test_equal_pictures_are_kept_once_and_a_page_has_its_share() -> None:
    sheets, small = Sheets(), judged("a", Kind.NOVELTY, 20)
    assert [sheets.add(small, np.arange(9)) for _ in range(2)] == [0, 0]
    assert sheets.add(small, np.arange(10)) == 1
    large = judged("b", Kind.NOVELTY, MOST)
    assert sheets.add(large, np.arange(MOST)) is None
    assert sheets.add(small, np.arange(0)) is None
    assert len(sheets.sheets) == 2
