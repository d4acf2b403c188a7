"""Figure 1 of the paper as a picture: how the embeddings of each method spread, set by set."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from knowbound.errors import UserError
from knowbound.files import replace_file
from knowbound.report.evidence import Evidence
from knowbound.report.grid import Panel, Row, class_colours, grid

MAX_POINTS = 600
SIDE = 2.9
"""Inches of a panel."""


def embedding_figure(path: Path, evidence: Sequence[Evidence], *, title: str = "") -> None:
    """A grid of 3-D scatter plots like Figure 1: rows are methods, columns the in set alone and each out set over it, faded.

    path: its suffix tells the format (.png, .pdf, .svg).  The points are those of ``knowbound.report.grid``: CE with 3 classes as
    softmax, other embeddings as they are or by their first 3 principal components; at most 600 of each set.
    Raises UserError where matplotlib is not installed, the suffix names no picture format, or the path cannot be written.
    """
    try:
        from matplotlib.figure import Figure
        from matplotlib.lines import Line2D
    except ImportError as error:
        raise UserError('drawing a figure needs matplotlib; install it with: pip install "knowbound[figures]"') from error
    rows = grid(evidence, MAX_POINTS)
    columns = len(rows[0].panels)
    figure = Figure(figsize=(SIDE * columns, SIDE * len(rows) + 0.9), layout="constrained")
    for i, row in enumerate(rows):
        for j, panel in enumerate(row.panels):
            axes = figure.add_subplot(len(rows), columns, i * columns + j + 1, projection="3d")
            _draw(axes, row, panel)
    marks = [Line2D([], [], marker=m, color=c, linestyle="", label=name) for name, c, m in _legend(rows)]
    figure.legend(handles=marks, loc="outside lower center", ncols=min(len(marks), 9), frameon=False)
    if title:
        figure.suptitle(title)
    _save(figure, path)


def _draw(axes: Any, row: Row, panel: Panel) -> None:
    faded = panel.outside is not None
    colours = np.array([*class_colours(len(row.class_names)), "#444444"])  # the last for images without a class
    axes.scatter(*panel.inside.T, c=colours[panel.labels], s=5, alpha=0.12 if faded else 0.7, linewidths=0, depthshade=False)
    if panel.outside is not None:
        axes.scatter(*panel.outside.T, c=panel.out_colour, s=7, alpha=0.7, marker="^", linewidths=0, depthshade=False)
    if row.is_simplex:
        axes.set(xlim=(0, 1), ylim=(0, 1), zlim=(0, 1))
        axes.view_init(elev=30, azim=45)  # the triangle seen from the front
    axes.set_title(panel.title, fontsize=9, pad=0)
    for axis, name in zip((axes.xaxis, axes.yaxis, axes.zaxis), row.axes, strict=True):
        axis.set_tick_params(labelsize=6, pad=-3)
        axis.set_label_text(name, fontsize=7)
        axis.labelpad = -8
        axis.set_pane_color((1.0, 1.0, 1.0, 0.0))


def _legend(rows: Sequence[Row]) -> list[tuple[str, str, str]]:
    """(name, colour, marker) of the classes (while they are few enough to tell apart) and of the out sets."""
    names = rows[0].class_names
    classes = (
        [(name, colour, "o") for name, colour in zip(names, class_colours(len(names)), strict=True)] if len(names) <= 10 else []
    )
    return classes + [(panel.out_name, panel.out_colour, "^") for panel in rows[0].panels[1:]]


def _save(figure: Any, path: Path) -> None:
    buffer, suffix = io.BytesIO(), path.suffix.lstrip(".").lower()
    formats = figure.canvas.get_supported_filetypes()
    if suffix not in formats:
        raise UserError(f"{path} has no ending that names a picture format; expected one of {', '.join(sorted(formats))}")
    figure.savefig(buffer, format=suffix, dpi=150)
    replace_file(path, buffer.getvalue())
