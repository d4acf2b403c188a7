"""Which values of a folder's pictures are black and white, and what should lie under transparent
pixels: measured over its pictures."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from knowbound.data.pictures.decoding import decode
from knowbound.data.pictures.picture_files import MAX_PIXELS, UnreadableImageError, in_order
from knowbound.data.pictures.picture_lists import Listing
from knowbound.data.preprocessing import (
    Picture,
    Preprocessing,
    Range,
    is_transparent,
    to_colour_or_grey,
    wide_values,
)

SAMPLE = 500
"""Pictures that are measured, spread over the folder."""
LOOKED_AT = 1_000_000
"""Values of one picture that are measured, spread over it."""
TAIL = 1e-4
"""Share of a picture's values at each end that does not count: hot and dead pixels."""
FEWEST = 64
"""Grey levels of 256 with which a picture is still as good as whole."""
INTEGER_RANGES = tuple((0.0, float(2**bits - 1)) for bits in (8, 10, 12, 14, 16))
FLOAT_RANGES = ((0.0, 1.0), (0.0, 255.0), (0.0, 65535.0))


@dataclass(frozen=True)
class FolderValues:
    """What the values of a folder's pictures are like.

    Args:
        pictures: how many were measured.
        wide: how many of them have more than 8 bits.
        low: the lowest value of these, without the last 0.01 % of each picture.
        high: the highest value of these, likewise.
        whole_numbers: whether all values of these are integers.
        transparent: how many have transparent pixels.
        on_white: mean standard deviation of the grey levels, 0 to 127, of the transparent ones over
            white.
        on_black: likewise over black.
    """

    pictures: int
    wide: int
    low: float
    high: float
    whole_numbers: bool
    transparent: int
    on_white: float
    on_black: float

    @property
    def range(self) -> tuple[float, float] | Literal["full"]:
        """What ``Preprocessing.range`` "auto" becomes; "full" where no picture has more than 8 bits.

        The smallest usual range (of 8, 10, 12, 14 or 16 bits; of 0 to 1, 255 or 65535 for
        floating-point values) that holds them all, as long as it leaves 64 grey levels; else the
        measured one.
        """
        if not self.wide:
            return "full"
        if self.low == self.high:
            return self.low, self.low + 1
        usual = INTEGER_RANGES if self.whole_numbers else FLOAT_RANGES
        for low, high in usual:
            if low <= self.low and self.high <= high:
                levels = (self.high - self.low) / (high - low) * 255
                return (low, high) if levels >= FEWEST else (self.low, self.high)
        return self.low, self.high

    @property
    def background(self) -> Literal["white", "black"]:
        """What ``Preprocessing.background`` "auto" becomes: the one with more contrast."""
        return "black" if self.on_black > self.on_white else "white"


@dataclass(frozen=True)
class _Values:
    """Those of one picture: lowest and highest of more than 8 bits, contrast on white and black."""

    ends: tuple[float, float] | None
    whole_numbers: bool
    contrast: tuple[float, float] | None


def measure_values(listing: Listing, max_pixels: int = MAX_PIXELS) -> FolderValues:
    """The values of up to 500 of the listed pictures, spread evenly; those that cannot be read are
    passed over."""
    files: Sequence[Path] = listing.files
    spread = np.unique(np.linspace(0, len(files) - 1, min(SAMPLE, len(files))).round().astype(int))
    measured = in_order(lambda path: _measure(path, max_pixels), [files[i] for i in spread])
    return _together([values for values in measured if values is not None])


def settle(
    preprocessing: Preprocessing, listing: Listing, max_pixels: int = MAX_PIXELS
) -> Preprocessing:
    """The preprocessing with each "auto" measured over the listed pictures; the same where there is
    none."""
    if preprocessing.is_settled:
        return preprocessing
    values = measure_values(listing, max_pixels)
    return preprocessing.settle(values.range, values.background)


def _measure(path: Path, max_pixels: int) -> _Values | None:
    try:
        picture, _, _ = decode(path, max_pixels, shrink_to=(64, 64), wide=True)
        values = wide_values(picture)
        ends = None if values is None else _ends(values)
        contrast = _contrasts(picture, ends) if is_transparent(picture) else None
    except (UnreadableImageError, ValueError, OSError, MemoryError):
        return None
    return _Values(ends, values is None or values.dtype.kind in "iu", contrast)


def _ends(values: NDArray[np.generic]) -> tuple[float, float] | None:
    """The values between which all but a share of ``TAIL`` at each end lie."""
    flat = values.reshape(-1)
    flat = flat[:: max(1, flat.size // LOOKED_AT)].astype(np.float64)
    flat = flat[np.isfinite(flat)]
    if not flat.size:
        return None
    low, high = np.quantile(flat, (TAIL, 1 - TAIL), method="inverted_cdf")
    return float(low), float(high)


def _contrasts(picture: Picture, ends: tuple[float, float] | None) -> tuple[float, float]:
    """The standard deviation of the grey levels over white, and over black."""
    shown: Range = ends if ends and ends[0] < ends[1] else "full"
    white = to_colour_or_grey(picture, 1, shown, "white")
    black = to_colour_or_grey(picture, 1, shown, "black")
    return float(np.std(np.asarray(white))), float(np.std(np.asarray(black)))


def _together(measured: Sequence[_Values]) -> FolderValues:
    ends = [values.ends for values in measured if values.ends is not None]
    contrasts = [values.contrast for values in measured if values.contrast is not None]
    return FolderValues(
        pictures=len(measured),
        wide=len(ends),
        low=min((low for low, _ in ends), default=0.0),
        high=max((high for _, high in ends), default=0.0),
        whole_numbers=all(values.whole_numbers for values in measured),
        transparent=len(contrasts),
        on_white=_mean(white for white, _ in contrasts),
        on_black=_mean(black for _, black in contrasts),
    )


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found) if found else 0.0
