"""Known images in other colours: of the same kind of picture, though no class may look so.

They show the domain score that a novelty may have colours which nobody taught.  No network is pushed
away from them.
"""

from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from knowbound.data.outs.made_pixels import made_source
from knowbound.data.source import Source
from knowbound.values import Array

ORDERS = np.array(list(permutations(range(3)))[1:])
"""(5, 3) the other orders of red, green and blue."""


def recoloured_copies(source: Source, count: int, rng: np.random.Generator) -> Source:
    """``count`` unlabelled images, "recoloured copies": known images with their colour channels in
    another order, made when they are asked for.

    Each of the five orders is equally likely, and so is each image.

    Args:
        source: colour images (N, 3, H, W).
        count: images.
        rng: draws them.

    Returns:
        Images of the source's shape and type.

    Raises:
        ValueError: images without three channels, or none.
    """
    channels = source.image_shape[0]
    if channels != 3 or not len(source):
        raise ValueError(
            f"{len(source)} images of {channels} channels cannot be recoloured; expected at least "
            "one image of three"
        )
    make = _Recoloured(source, rng.integers(len(source), size=count), rng.integers(5, size=count))
    return made_source("recoloured copies", make, count, source.image_shape, source.pixels.dtype)


@dataclass(frozen=True, eq=False)
class _Recoloured:
    """Positions -> images."""

    source: Source
    images: NDArray[np.int64]
    """(N,) in the source."""
    orders: NDArray[np.int64]
    """(N,) of ``ORDERS``."""

    def __call__(self, positions: NDArray[np.int64]) -> Array:
        images = self.source.images(self.images[positions])
        orders = ORDERS[self.orders[positions]]
        recoloured: Array = np.take_along_axis(images, orders[:, :, None, None], axis=1)
        return recoloured
