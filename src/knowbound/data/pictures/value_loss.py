"""What the pictures of a folder lose on their way to 8 bits and an opaque background: said once for
the folder, with numbers."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from knowbound.data.pictures.decoding import SIXTEEN_BITS
from knowbound.data.pictures.problems import Problem
from knowbound.data.pictures.value_range import FEWEST
from knowbound.data.preprocessing import Picture, Preprocessing, is_transparent, wide_values

FLAT = 8
"""Grey levels between the darkest and the brightest pixel up to which an image is blank."""
SHOWN = 32
"""Such levels from which on it shows something."""


@dataclass(frozen=True)
class Loss:
    """What one picture loses.

    Args:
        wide: its lowest and highest value where it has more than 8 bits, else None.
        levels: the grey levels of 256 that its values can still take, where it has.
        is_transparent: whether it has transparent pixels.
        is_blank: whether it is, on this background, but not on the other.
    """

    wide: tuple[float, float] | None
    levels: int
    is_transparent: bool
    is_blank: bool

    @property
    def collapses(self) -> bool:
        """Whether few grey levels are left of many values."""
        if self.wide is None:
            return False
        return self.levels < FEWEST and self.wide[1] - self.wide[0] >= 4 * self.levels


def find_loss(
    picture: Picture, image: NDArray[np.uint8], preprocessing: Preprocessing
) -> Loss | None:
    """What a decoded picture lost in becoming an image (C, H, W); None where nothing can be lost:
    in 8 bits, without transparency."""
    wide = _ends(picture) if preprocessing.range == "full" else None
    transparent = is_transparent(picture)
    if wide is None and not transparent:
        return None
    levels = 0 if wide is None else int(wide[1] // 257 - wide[0] // 257) + 1
    blank = transparent and _spread(image) <= FLAT
    if blank:
        other = replace(
            preprocessing, background="black" if preprocessing.background == "white" else "white"
        )
        blank = _spread(other(picture)) >= SHOWN
    return Loss(wide, levels, transparent, blank)


def say_losses(losses: list[Loss], folder: str, preprocessing: Preprocessing) -> list[Problem]:
    """One problem for grey levels and one for transparency, where pictures lose by them."""
    said = []
    collapsed = [(loss.wide, loss.levels) for loss in losses if loss.collapses and loss.wide]
    if collapsed:
        low, high = min(ends[0] for ends, _ in collapsed), max(ends[1] for ends, _ in collapsed)
        wide = sum(loss.wide is not None for loss in losses)
        said.append(
            f"{len(collapsed):,} of {wide:,} pictures of 16 bits have values in {low:g} to "
            f"{high:g}, of which at most {max(levels for _, levels in collapsed)} of 256 grey "
            "levels are left; keep them with --range auto"
        )
    blank = sum(loss.is_blank for loss in losses)
    if blank:
        transparent = sum(loss.is_transparent for loss in losses)
        said.append(
            f"{blank:,} of {transparent:,} transparent pictures are blank on "
            f"{preprocessing.background}; show them with --background auto"
        )
    return [Problem(folder, reason, used=True) for reason in said]


def _ends(picture: Picture) -> tuple[float, float] | None:
    """The lowest and highest value of a picture of more than 8 bits; of colours of 16 bits what
    their high bytes say."""
    if isinstance(picture, Image.Image) and SIXTEEN_BITS in picture.info:
        extremes = np.array(picture.getextrema())[:3]
        return float(extremes[:, 0].min()) * 256, float(extremes[:, 1].max()) * 256 + 255
    values = wide_values(picture)
    if values is None or not values.size:
        return None
    return float(values.min()), float(values.max())


def _spread(image: NDArray[np.uint8]) -> int:
    return int(image.max()) - int(image.min())
