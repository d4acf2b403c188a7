"""Images of known classes in other colours, and pieces of them put together: of the same kind of
picture, though no class looks so.

They show the domain score that a novelty may have colours which nobody taught.  No network is
pushed away from them.
"""

from dataclasses import dataclass, replace
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from knowbound.data.outs.composed import composed_images
from knowbound.data.outs.made_pixels import HELD_BYTES, made_source
from knowbound.data.source import Source
from knowbound.values import Array

ORDERS = np.array(list(permutations(range(3))))
"""(6, 3) the orders of red, green and blue."""


def recoloured(source: Source, rng: np.random.Generator) -> Source:
    """The same images with the same labels, the colour channels of each in a random order, made
    when they are asked for.

    Each of the six orders is equally likely, the image's own among them.

    Args:
        source: colour images (N, 3, H, W).
        rng: draws the orders.

    Raises:
        ValueError: images without three channels.
    """
    if source.image_shape[0] != 3:
        raise ValueError(
            f"images of {source.image_shape[0]} channels cannot be recoloured; expected three"
        )
    make = _Recoloured(source, rng.integers(len(ORDERS), size=len(source)))
    made = made_source(source.name, make, len(source), source.image_shape, source.pixels.dtype)
    return replace(source, name=f"{source.name}, recoloured", pixels=made.pixels)


def recoloured_pieces(source: Source, count: int, rng: np.random.Generator) -> Source:
    """``count`` unlabelled images: ``composed_images`` of recoloured ones, so that the surroundings
    have other colours than the middle.  Of a single class, recoloured images.

    Args:
        source: colour images (N, 3, H, W), N at least 1, with labels 0..C-1.
        count: images.
        rng: draws them.

    Raises:
        ValueError: images without three channels.
    """
    others = recoloured(source, rng)
    if len(np.unique(source.labels)) < 2:
        return others.take(rng.integers(len(others), size=count)).without_labels()
    return composed_images(others, count, rng, memory_limit=HELD_BYTES)


@dataclass(frozen=True, eq=False)
class _Recoloured:
    """Positions -> images."""

    source: Source
    orders: NDArray[np.int64]
    """(N,) of ``ORDERS``."""

    def __call__(self, positions: NDArray[np.int64]) -> Array:
        orders = ORDERS[self.orders[positions]]
        images = self.source.images(positions)
        changed: Array = np.take_along_axis(images, orders[:, :, None, None], axis=1)
        return changed
