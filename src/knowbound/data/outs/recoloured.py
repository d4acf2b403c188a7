"""Images of known classes in other colours, and pieces of them put together: of the same kind of
picture, though no class looks so.

They show the domain score that a novelty may have colours which nobody taught.  No network is
pushed away from them.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import permutations, product

import numpy as np
from numpy.typing import NDArray

from knowbound.data.outs.composed import composed_images
from knowbound.data.outs.made_pixels import HELD_BYTES, made_source
from knowbound.data.source import Source
from knowbound.values import Array

PALETTE_SHARE = 1 / 8
"""Of ``recoloured_images``; chosen in docs/synthetic_outliers.md."""
ORDERS = np.array(list(permutations(range(3))))
"""(6, 3) the orders of red, green and blue."""
CORNERS = np.array(list(product((0, 1), repeat=3)))
"""(8, 3) of the colour cube: black, blue, green, ..., white."""

Images = NDArray[np.float32]
Make = Callable[[NDArray[np.int64], Array], Array]
"""Positions (B,) and their images (B, 3, H, W) to changed ones of the same type."""


def recoloured_images(source: Source, count: int, rng: np.random.Generator) -> list[Source]:
    """``count`` unlabelled images of known classes in other colours.

    An eighth has another palette (``other_palette``).  The others are ``composed_images`` of images
    whose colour channels have another order (``other_order``), so that the surroundings have other
    colours than the middle.  Of a single class they are whole.

    Args:
        source: colour images (N, 3, H, W), N at least 1, with labels 0..C-1.
        count: images.
        rng: draws them.

    Returns:
        A source of each kind, without those of no image.

    Raises:
        ValueError: images without three channels.
    """
    palette = round(PALETTE_SHARE * count)
    mapped = other_palette(source.take(rng.integers(len(source), size=palette)), rng)
    ordered = other_order(source, rng)
    if len(np.unique(source.labels)) < 2:
        others = ordered.take(rng.integers(len(ordered), size=count - palette))
    else:
        others = composed_images(ordered, count - palette, rng, memory_limit=HELD_BYTES)
    return [images.without_labels() for images in (mapped, others) if len(images)]


def other_order(source: Source, rng: np.random.Generator) -> Source:
    """The same images with the same labels, the colour channels of each in a random order, made
    when they are asked for.

    Each of the six orders is equally likely, the image's own among them.

    Args:
        source: colour images (N, 3, H, W).
        rng: draws the orders.

    Raises:
        ValueError: images without three channels.
    """
    orders = ORDERS[rng.integers(len(ORDERS), size=len(source))]
    return _changed(
        source,
        "channels in another order",
        lambda at, images: np.take_along_axis(images, orders[at][:, :, None, None], axis=1),
    )


def other_palette(source: Source, rng: np.random.Generator) -> Source:
    """The same images with the same labels, the colours of each mapped at random, made when they
    are asked for.

    Each corner of the colour cube becomes a random one; what lies between them is interpolated, so
    that shapes and shades stay.

    Args:
        source: colour images (N, 3, H, W).
        rng: draws the corners.

    Raises:
        ValueError: images without three channels.
    """
    corners = rng.integers(2, size=(len(source), len(CORNERS), 3)).astype(np.float32)

    def make(at: NDArray[np.int64], images: Array) -> Array:
        if images.dtype != np.uint8:
            return mapped_colours(images, corners[at]).clip(0, 1)
        mapped = mapped_colours(images.astype(np.float32) / np.float32(255), corners[at])
        return np.rint(255 * mapped).clip(0, 255).astype(np.uint8)

    return _changed(source, "other palette", make)


def mapped_colours(images: Images, corners: Images) -> Images:
    """Images whose colours are interpolated (trilinear) between new corners of the colour cube.

    Args:
        images: (B, 3, H, W) in 0..1.
        corners: (B, 8, 3) what each of ``CORNERS`` becomes, in 0..1.

    Returns:
        (B, 3, H, W) in 0..1, up to rounding.
    """
    made = np.zeros_like(images)
    for number, corner in enumerate(CORNERS):
        towards = np.where(corner[None, :, None, None] == 1, images, 1 - images)
        made += towards.prod(axis=1, keepdims=True) * corners[:, number, :, None, None]
    return made


def _changed(source: Source, words: str, make: Make) -> Source:
    if source.image_shape[0] != 3:
        raise ValueError(
            f"images of {source.image_shape[0]} channels cannot be recoloured; expected three"
        )
    changed = _Changed(source, make)
    made = made_source(source.name, changed, len(source), source.image_shape, source.pixels.dtype)
    return replace(source, name=f"{source.name}, {words}", pixels=made.pixels)


@dataclass(frozen=True, eq=False)
class _Changed:
    """Positions -> images of the source's type."""

    source: Source
    make: Make

    def __call__(self, positions: NDArray[np.int64]) -> Array:
        return self.make(positions, self.source.images(positions))
