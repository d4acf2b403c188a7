"""Synthetic outliers: known images with a rectangle of an image of another class.

Each part is known, the whole is not: a network cannot accept it by its parts.  The same images
serve as *training* images with mixed labels in CutMix (Yun et al., ICCV 2019); here they have no
class at all.  They are not in the paper.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from knowbound.data.outs.made_pixels import MEMORY_LIMIT, keep_in_memory, made_source
from knowbound.data.outs.members import members_of
from knowbound.data.source import Source
from knowbound.values import Array

SIDES = (0.35, 0.7)
"""Of the rectangle, in shares of the image's: an eighth to a half of its area."""

Indices = NDArray[np.int64]


def exchanged_patches(
    source: Source, count: int, rng: np.random.Generator, *, memory_limit: int = MEMORY_LIMIT
) -> Source:
    """``count`` unlabelled images, "exchanged patches": a rectangle anywhere in an image is
    replaced by the same rectangle of an image of another class.

    Classes are drawn equally often.

    Args:
        source: images with labels 0..C-1, of any size, grey or colour; classes without images are
            passed over.
        count: images.
        rng: draws them.
        memory_limit: bytes up to which they are held; more are made whenever asked for.

    Returns:
        Images of the source's shape and type.

    Raises:
        ValueError: fewer than two classes have images.
    """
    members = members_of(source, "so that one can get a piece of another")
    first = rng.integers(len(members), size=count)
    second = (first + rng.integers(1, len(members), size=count)) % len(members)
    sides = np.array(source.image_shape[1:])
    size = np.rint(rng.uniform(*SIDES, (count, 2)) * sides).astype(np.int64).clip(1)
    make = _Exchanged(
        source,
        np.array([rng.choice(members[label]) for label in first], dtype=np.int64),
        np.array([rng.choice(members[label]) for label in second], dtype=np.int64),
        corner=rng.integers(sides - size, endpoint=True),
        size=size,
    )
    made = made_source("exchanged patches", make, count, source.image_shape, source.pixels.dtype)
    return keep_in_memory(made, memory_limit)


@dataclass(frozen=True, eq=False)
class _Exchanged:
    """Positions -> images."""

    source: Source
    first: Indices
    """(N,) in the source: what surrounds."""
    second: Indices
    """(N,) in the source: what fills the rectangle."""
    corner: Indices
    """(N, 2) the rectangle's first row and column."""
    size: Indices
    """(N, 2) its height and width, in pixels."""

    def __call__(self, positions: Indices) -> Array:
        around = self.source.images(self.first[positions])
        inside = self.source.images(self.second[positions])
        start, end = self.corner[positions], (self.corner + self.size)[positions]
        rows, columns = (
            (np.arange(side) >= start[:, axis, None]) & (np.arange(side) < end[:, axis, None])
            for axis, side in enumerate(around.shape[2:])
        )
        covered = rows[:, None, :, None] & columns[:, None, None, :]
        made: Array = np.where(covered, inside, around)
        return made
