"""What a generator made, as one picture: a sheet of images for each time it was looked at."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

COLUMNS = 8
"""Images in a row of a sheet."""


def write_sheets(path: Path, sheets: Mapping[int, NDArray[np.uint8]]) -> None:
    """Draw the sheets beside each other, with the steps done above each.  sheets: (N, 3, H, W)
    uint8 by steps."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3 * len(sheets), 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (steps, images) in zip(
        figure.subplots(1, len(sheets), squeeze=False)[0], sorted(sheets.items()), strict=True
    ):
        axes.imshow(_tiled(images))
        axes.set_title(f"after {steps:,} steps", fontsize=10)
        axes.axis("off")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)


def _tiled(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(N, 3, H, W) -> one image (rows * H, COLUMNS * W, 3), the last row filled with white."""
    count, channels, height, width = images.shape
    rows = -(-count // COLUMNS)
    full = np.full((rows * COLUMNS, channels, height, width), 255, dtype=np.uint8)
    full[:count] = images
    grid = full.reshape(rows, COLUMNS, channels, height, width).transpose(0, 3, 1, 4, 2)
    return grid.reshape(rows * height, COLUMNS * width, channels)
