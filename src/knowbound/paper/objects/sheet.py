"""What a generator made, as one picture: a sheet of images for each time it was looked at."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from knowbound.report.drawing import new_drawing, write_drawing

COLUMNS = 8
"""Images in a row of a sheet."""


def write_sheets(path: Path, sheets: Mapping[int, NDArray[np.uint8]]) -> None:
    """Draw the sheets beside each other, with the steps done above each.

    Args:
        path: of the picture.
        sheets: (N, 3, H, W) images by the steps done.

    Raises:
        UserError: matplotlib is not installed, or the picture cannot be written.
    """
    drawing = new_drawing(3 * len(sheets), 3.2, dpi=100, layout="constrained")
    places = drawing.subplots(1, len(sheets), squeeze=False)[0]
    for axes, (steps, images) in zip(places, sorted(sheets.items()), strict=True):
        axes.imshow(sheet_of(images))
        axes.set_title(f"after {steps:,} steps", fontsize=10)
        axes.axis("off")
    write_drawing(path, drawing)


def sheet_of(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(N, 3, H, W) -> one image (rows * H, COLUMNS * W, 3), the last row filled with white."""
    count, channels, height, width = images.shape
    rows = -(-count // COLUMNS)
    full = np.full((rows * COLUMNS, channels, height, width), 255, dtype=np.uint8)
    full[:count] = images
    grid = full.reshape(rows, COLUMNS, channels, height, width).transpose(0, 3, 1, 4, 2)
    return grid.reshape(rows * height, COLUMNS * width, channels)
