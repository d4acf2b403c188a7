"""Pictures of plots as files: the only place that needs matplotlib."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from knowbound.errors import UserError
from knowbound.files import replace_file
from knowbound.files.own_output import GENERATOR

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Drawing: TypeAlias = "Figure"
CREATOR_FIELDS = {"png": "Software", "svg": "Creator", "pdf": "Creator"}
"""Where a picture of each kind names the program that made it."""


def check_can_draw() -> None:
    """Ask for matplotlib before anything expensive is done for the sake of a picture.

    Raises:
        UserError: it is not installed.
    """
    new_drawing(1, 1)


def new_drawing(width: float, height: float, **settings: Any) -> Drawing:
    """An empty drawing of width x height inches.

    It does not go through pyplot, so the caller's own windows stay as they are.

    Args:
        width: in inches.
        height: in inches.
        settings: of matplotlib's ``Figure``, such as ``dpi``.

    Raises:
        UserError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UserError(
            "pictures need matplotlib, which is not installed; run: pip install "
            "'knowbound[figures]'"
        ) from error
    return Figure(figsize=(width, height), **settings)


def add_key(drawing: Drawing, colours: Sequence[tuple[str, str]]) -> None:
    """Write below the drawing which colour is what.

    Args:
        drawing: is changed.
        colours: (name, colour) of each entry.
    """
    from matplotlib.lines import Line2D

    marks = [
        Line2D([], [], color=colour, marker="o", linestyle="", label=name)
        for name, colour in colours
    ]
    drawing.legend(
        handles=marks,
        loc="lower center",
        ncols=len(marks),
        frameon=False,
        fontsize=10,
        handletextpad=0.1,
    )


def check_ending(path: Path) -> None:
    """Check that a picture can have that ending.

    Raises:
        UserError: it cannot, or matplotlib is not installed.
    """
    kinds = new_drawing(1, 1).canvas.get_supported_filetypes()
    if _kind(path) not in kinds:
        raise UserError(
            f"the picture {path} ends in {path.suffix!r}; expected one of "
            f"{', '.join('.' + kind for kind in sorted(kinds))}"
        )


def write_drawing(path: Path, drawing: Drawing) -> None:
    """Write the drawing as a picture; the ending of ``path`` (.png, .pdf, .svg) says which kind.

    Raises:
        UserError: another ending, or a place that cannot be written.
    """
    check_ending(path)
    buffer = io.BytesIO()
    kind = _kind(path)
    # By this mark the program knows its own pictures, which it may replace unasked.
    mark = {CREATOR_FIELDS[kind]: GENERATOR} if kind in CREATOR_FIELDS else None
    drawing.savefig(buffer, format=kind, facecolor="white", metadata=mark)
    replace_file(path, buffer.getvalue())


def _kind(path: Path) -> str:
    return path.suffix.lstrip(".").lower()
