"""Background patches cut from road frames: what a sign detector hands on by mistake (Section
4.2)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from knowbound.data.pictures.picture_files import UnreadableImageError
from knowbound.data.pictures.problems import Problem
from knowbound.data.preprocessing import Preprocessing
from knowbound.data.signs.crops import Crop, Crops, collect_crops
from knowbound.data.signs.frames import Frame
from knowbound.errors import UserError
from knowbound.labels import OUT

CENTRAL_ROWS = (
    0.25,
    0.75,
)  # of the height: half of it above the horizon, half below, no pure sky, no bonnet
CENTRAL_COLUMNS = (0.125, 0.875)  # of the width
TRIES = 50  # places tried for one patch before its frame is passed over


def background_patches(
    frames: Sequence[Frame],
    count: int,
    side: tuple[int, int],
    preprocessing: Preprocessing,
    rng: np.random.Generator,
) -> tuple[Crops, tuple[Problem, ...]]:
    """Random squares of road frames, named "Background", every label ``OUT``.

    A square lies wholly in the central area of its frame: the middle half of the rows (0.25..0.75
    of the height) and the middle three quarters of the columns (0.125..0.875 of the width), so that
    sky and ground stay balanced (Section 4.2).  It shares no pixel with an annotated sign.  Each
    frame gives about the same number.

    Args:
        frames: to cut from.
        count: how many squares.
        side: smallest and largest side in pixels.
        preprocessing: how a square becomes an image.
        rng: draws them.

    Returns:
        The squares, and a problem for each frame that is unreadable, too small, or too full of
        signs.

    Raises:
        UserError: no frame can give a patch.
    """
    if not 1 <= side[0] <= side[1]:
        raise ValueError(
            f"sides of {side[0]} to {side[1]} pixels were asked for; expected at least 1, the "
            "smallest first"
        )
    crops: list[Crop] = []
    problems: dict[int, Problem] = {}
    each = -(-count // max(len(frames), 1))
    order = rng.permutation(len(frames)).tolist()
    while len(crops) < count:
        order = [index for index in order if index not in problems]
        if not order:
            reasons = (
                "; ".join(sorted({problem.reason for problem in problems.values()}))
                or "there is no frame"
            )
            raise UserError(
                f"{count} background patches were asked for and {len(crops)} were found "
                f"({reasons}); give more or larger frames"
            )
        for index in order:
            try:
                crops += _cut(
                    frames[index], min(each, count - len(crops)), side, preprocessing, rng
                )
            except (UnreadableImageError, ValueError) as error:
                problems[index] = Problem(frames[index].path, str(error), used=False)
            if len(crops) == count:
                break
    return collect_crops(crops, "Background", (), preprocessing), tuple(
        problems[index] for index in sorted(problems)
    )


def _cut(
    frame: Frame,
    count: int,
    side: tuple[int, int],
    preprocessing: Preprocessing,
    rng: np.random.Generator,
) -> list[Crop]:
    picture = frame.picture()
    squares = [_draw_square(picture.size, frame.boxes, side, rng) for _ in range(count)]
    return [
        Crop(preprocessing(picture.crop(square)), OUT, frame.name, (square[3] - square[1],) * 2)
        for square in squares
    ]


def _draw_square(
    size: tuple[int, int],
    boxes: NDArray[np.float64],
    side: tuple[int, int],
    rng: np.random.Generator,
) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of a square of the central area without a sign.  Raises ValueError
    for none."""
    (left, right), (top, bottom) = _span(CENTRAL_COLUMNS, size[0]), _span(CENTRAL_ROWS, size[1])
    largest = min(side[1], right - left, bottom - top)
    if largest < side[0]:
        raise ValueError(
            f"the central area has {right - left} x {bottom - top} pixels, too few for a patch of "
            f"{side[0]}"
        )
    for _ in range(TRIES):
        length = int(rng.integers(side[0], largest, endpoint=True))
        x = int(rng.integers(left, right - length, endpoint=True))
        y = int(rng.integers(top, bottom - length, endpoint=True))
        if not _overlaps((x, y, x + length, y + length), boxes):
            return x, y, x + length, y + length
    raise ValueError(f"no place without a sign was found in {TRIES} tries")


def _span(fractions: tuple[float, float], length: int) -> tuple[int, int]:
    return int(np.ceil(fractions[0] * length)), int(np.floor(fractions[1] * length))


def _overlaps(square: tuple[int, int, int, int], boxes: NDArray[np.float64]) -> bool:
    left, top, right, bottom = square
    xmin, ymin, xmax, ymax = (
        np.floor(boxes[:, 0]),
        np.floor(boxes[:, 1]),
        np.ceil(boxes[:, 2]),
        np.ceil(boxes[:, 3]),
    )
    return bool(((xmin < right) & (xmax > left) & (ymin < bottom) & (ymax > top)).any())
