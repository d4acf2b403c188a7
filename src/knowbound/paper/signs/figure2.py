"""Figure 2 of the paper: one sign of each class of the restricted split, in, seen out and unseen
out."""

import io
from pathlib import Path

from knowbound.files import replace_file
from knowbound.paper.signs.class_splits import class_split
from knowbound.paper.signs.exemplars import exemplar_sheet
from knowbound.paper.signs.split import read_tsinghua

SIZE = 64
"""Pixels a side: twice what the networks see, for people to read."""


def write_figure2(data: Path, results: Path) -> Path:
    """``results/figure2.png``, from the training crops.

    Args:
        data: the folder that holds tt100k/ and background/.
        results: where the picture goes.

    Raises:
        UserError: files are missing, or it cannot be written.
    """
    sheet = exemplar_sheet(read_tsinghua(data, size=SIZE).train.signs, class_split(restricted=True))
    buffer = io.BytesIO()
    sheet.save(buffer, format="PNG", optimize=True)
    path = results / "figure2.png"
    replace_file(path, buffer.getvalue())
    return path
