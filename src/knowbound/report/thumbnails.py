"""Many small pictures in few image files: what a 3-D view shows of the point under the pointer."""

import base64
import hashlib
import io
import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from knowbound.evidence import JudgedSet

SIDE = 32
"""Pixels of a thumbnail's sides."""
MOST = 4000
"""Thumbnails of a page: about 4 MB of colour photographs."""


@dataclass(eq=False)
class Sheets:
    """The sheets of one page; equal pictures of several models are kept once."""

    sheets: list[dict[str, int | str]] = field(default_factory=list)
    """``source``, a ``data:`` address; ``columns``, ``rows``: thumbnails side by side and below
    each other."""
    _numbers: dict[bytes, int] = field(default_factory=dict)
    _count: int = 0

    def add(self, judged: JudgedSet, chosen: NDArray[np.int64]) -> int | None:
        """Put the chosen images of a set on a sheet, in order, row by row.

        Args:
            judged: the set.
            chosen: indices of its images.

        Returns:
            The sheet's number; None where the page has its share of thumbnails already, or where
            there is no image.
        """
        images = judged.images_at(chosen)
        key = hashlib.sha256(images.tobytes() + repr(images.shape).encode()).digest()
        if key in self._numbers:
            return self._numbers[key]
        if not len(images) or self._count + len(images) > MOST:
            return None
        self._count += len(images)
        self._numbers[key] = len(self.sheets)
        self.sheets.append(sheet(images))
        return self._numbers[key]


def sheet(images: NDArray[np.uint8]) -> dict[str, int | str]:
    """One picture file of all images, as JPEG.

    Args:
        images: (N, C, H, W), C = 1 or 3, N at least 1.

    Returns:
        As in ``Sheets.sheets``.
    """
    columns = math.ceil(math.sqrt(len(images)))
    rows = math.ceil(len(images) / columns)
    mode = "L" if images.shape[1] == 1 else "RGB"
    page = Image.new(mode, (SIDE * columns, SIDE * rows))
    for index, image in enumerate(images):
        pixels = image[0] if mode == "L" else image.transpose(1, 2, 0)
        tile = Image.fromarray(np.ascontiguousarray(pixels)).resize((SIDE, SIDE))
        page.paste(tile, (SIDE * (index % columns), SIDE * (index // columns)))
    buffer = io.BytesIO()
    page.save(buffer, format="JPEG", quality=75, optimize=True)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return {"source": f"data:image/jpeg;base64,{data}", "columns": columns, "rows": rows}
