"""How large a folder's pictures are, and whether they have colour: what a network is chosen by."""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from knowbound.data.pictures.decoding import decode
from knowbound.data.pictures.names import printable, storable
from knowbound.data.pictures.picture_files import UnreadableImageError, in_order
from knowbound.data.pictures.picture_lists import Listing, list_pictures
from knowbound.data.pictures.problems import Problem
from knowbound.data.preprocessing import Range, to_colour_or_grey, wide_values
from knowbound.errors import UserError
from knowbound.values import Array

MEASURED_AT = 64  # pixels of the longer side of the thumbnail that is looked at for colour
# of 255 between a pixel's channels: what JPEG's rounding and camera noise may leave in a grey
# picture
GREY_SPREAD = 12
# a picture is in colour where more than this share of its pixels is: one hot pixel is no colour
COLOUR_SHARE = 0.01


def measure_folder(
    folder: Path, *, classes: bool, sample: int = 200, listing: Listing | None = None
) -> tuple[tuple[int, int], bool]:
    """Median (height, width) in pixels of about ``sample`` pictures spread over the folder, and
    whether one has colour.

    A picture has colour where the channels of more than 1 % of its pixels lie more than 12 of 255
    apart: JPEG leaves less grey.  listing: of this very folder, where it was listed before.  Raises
    UserError for a folder that cannot be used or has no readable picture.
    """
    listing = listing or list_pictures(folder, classes)
    files = listing.files
    spread = np.unique(np.linspace(0, len(files) - 1, min(sample, len(files))).round().astype(int))
    rest = np.setdiff1d(np.arange(len(files)), spread)
    answers = list(in_order(_measure, [files[i] for i in spread]))
    measured = [answer for answer in answers if not isinstance(answer, Problem)]
    if not measured:  # the first readable one of the others will do
        others = in_order(_measure, [files[i] for i in rest])
        measured = list(islice((answer for answer in others if not isinstance(answer, Problem)), 1))
    if not measured:
        broken = [answer for answer in answers if isinstance(answer, Problem)]
        raise UserError(no_picture(folder, [*listing.problems, *broken]))
    height, width = np.median([size for size, _ in measured], axis=0)
    return (max(1, round(height)), max(1, round(width))), any(colour for _, colour in measured)


def _measure(path: Path) -> tuple[tuple[int, int], bool] | Problem:
    try:
        picture, size, _ = decode(path, shrink_to=(MEASURED_AT, MEASURED_AT))
        values = wide_values(picture)
        if values is not None and values.ndim == 2:  # whatever its range is, it is grey
            return size, False
        small = to_colour_or_grey(picture, 3, _ends(values))
        small.thumbnail((MEASURED_AT, MEASURED_AT))
    except (UnreadableImageError, ValueError, OSError) as error:
        return Problem(storable(path), str(error), used=False)
    pixels = np.asarray(small)
    coloured = pixels.max(axis=2) - pixels.min(axis=2) > GREY_SPREAD
    return size, bool(coloured.mean() > COLOUR_SHARE)


def _ends(values: Array | None) -> Range:
    """The range in which a picture is looked at for colour: of floating-point numbers their own."""
    if values is None or values.dtype.kind != "f":
        return "full"
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    return (low, high) if low < high else (low, low + 1.0)


def no_picture(folder: Path, problems: Sequence[Problem]) -> str:
    """The sentence for a folder without any, with the first of its problems."""
    left = next((problem for problem in problems if not problem.used), None)
    first = f" (the first: {left})" if left else ""
    return (
        f"none of the files of {printable(folder)} is a readable picture{first}; expected PNG, "
        "JPEG or other picture files"
    )
