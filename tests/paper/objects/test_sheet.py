"""The picture of what a generator made."""

from pathlib import Path

import numpy as np
from PIL import Image

from knowbound.paper.objects.sheet import sheet_of, write_sheets


def test_images_stand_in_rows_of_eight_and_the_rest_is_white() -> None:
    images = np.random.default_rng(0).integers(0, 255, (11, 3, 4, 5)).astype(np.uint8)
    sheet = sheet_of(images)
    assert sheet.shape == (8, 40, 3)
    for i, image in enumerate(images):
        row, column = divmod(i, 8)
        assert (
            sheet[4 * row : 4 * row + 4, 5 * column : 5 * column + 5] == image.transpose(1, 2, 0)
        ).all()
    assert (sheet[4:, 15:] == 255).all()


def test_every_sheet_is_drawn(tmp_path: Path) -> None:
    dark, light = (np.full((64, 3, 32, 32), value, dtype=np.uint8) for value in (10, 200))
    write_sheets(tmp_path / "new" / "sheets.png", {20: light, 10: dark})
    with Image.open(tmp_path / "new" / "sheets.png") as picture:
        pixels = np.asarray(picture.convert("L"))
    middle = pixels[pixels.shape[0] // 2]
    quarter = pixels.shape[1] // 4
    assert (middle[quarter], middle[3 * quarter]) == (10, 200)  # the earlier one stands first
