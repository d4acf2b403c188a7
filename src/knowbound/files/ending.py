"""What the ending of a file's name says of its format."""

from collections.abc import Sequence
from pathlib import Path

from knowbound.errors import UserError


def check_ending(path: Path, endings: Sequence[str], *, besides: str = "") -> None:
    """Check that the name of a file to write says its format.

    Args:
        path: of the file.
        endings: that are expected, one at least, such as ``.csv``.
        besides: what else is taken, in words for the error.

    Raises:
        UserError: a folder, or another ending.
    """
    if path.is_dir():
        example = path / f"{path.resolve().name}{endings[0]}"
        raise UserError(f"{path} is a folder; give the name of a file to write, such as {example}")
    if path.suffix not in endings:
        found = f"ends in {path.suffix!r}" if path.suffix else "has no ending"
        raise UserError(f"{path} {found}; expected {', '.join((*endings, besides)).rstrip(', ')}")
