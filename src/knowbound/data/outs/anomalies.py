"""Synthetic anomalies: noise and pieces of two photographs, whatever was taught.

They show the domain score what another kind of picture looks like, and need no image of yours.
"""

from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from knowbound.data.outs.made_pixels import HELD_BYTES, keep_in_memory, made_source
from knowbound.data.outs.patches import sample_photographs
from knowbound.data.preprocessing import RESAMPLING, Preprocessing
from knowbound.data.source import Source
from knowbound.values import Array

NOISES = ("gaussian", "uniform", "blocks")
NOISE_SHARE = 1 / 4
"""Of the images, the three kinds of noise together; the others are patches of photographs, half of
them changed."""
CELLS = (2, 8)
"""Of block noise, along the shorter side: few enough to be coarse in any size of image."""
PATCH_SIDES = (32, 128)
"""Pixels of a photograph that a patch shows, each way; its two pictures have 427 x 640."""
CHANGED_SIDES = (16, 400)
"""The same of a changed patch, each scale equally likely."""
CONTRAST, BRIGHTNESS, SATURATION = (0.4, 1.3), 60.0, (0.0, 1.3)
"""Of changed patches: factor, largest shift in 0..255, factor."""

Shape = tuple[int, int, int]


def anomaly_images(image_shape: Shape, count: int, rng: np.random.Generator) -> Source:
    """``count`` unlabelled uint8 images, "synthetic anomalies", made when they are asked for.

    A twelfth each is Gaussian noise (N(0.5, 1), as in the paper's tables), uniform noise and
    coarse block noise.  Three eighths are patches of the two photographs that come with
    scikit-learn, a temple and a flower, and three eighths are changed patches: of any scale,
    mirrored or turned, the colours in another order, brighter or darker, of other contrast.

    Args:
        image_shape: (C, H, W), C = 1 or 3, of any size.
        count: images, in a random order of their kinds.
        rng: draws them.
    """
    noise = np.arange(round(NOISE_SHARE * count))
    patches = len(NOISES) + np.arange(count - len(noise)) % 2
    kinds = np.concatenate([noise % len(NOISES), patches])
    kinds = rng.permutation(kinds)
    make = _Anomalies(image_shape, kinds, rng.integers(2**63, size=count))
    return made_source("synthetic anomalies", make, count, image_shape, np.uint8)


@lru_cache(maxsize=2)
def usual_anomalies(image_shape: Shape, count: int) -> Source:
    """The same ``anomaly_images`` for every boundary: they are no part of a training's randomness.

    Small ones are made once and held, as a table's rows ask for them again and again.

    Args:
        image_shape: (C, H, W).
        count: images.
    """
    made = anomaly_images(image_shape, count, np.random.default_rng(0))
    return keep_in_memory(made, HELD_BYTES)


@dataclass(frozen=True, eq=False)
class _Anomalies:
    """Positions -> images, each from a seed of its own."""

    image_shape: Shape
    kinds: NDArray[np.int64]
    seeds: NDArray[np.int64]

    def __call__(self, positions: NDArray[np.int64]) -> NDArray[np.uint8]:
        made = np.empty((len(positions), *self.image_shape), dtype=np.uint8)
        makers = (gaussian, uniform, blocks, patch, changed_patch)
        for image, kind, seed in zip(
            made, self.kinds[positions], self.seeds[positions], strict=True
        ):
            image[...] = makers[kind](self.image_shape, np.random.default_rng(seed))
        return made


def gaussian(image_shape: Shape, rng: np.random.Generator) -> NDArray[np.uint8]:
    """An image (C, H, W) of independent N(0.5, 1) values clipped to [0, 1], as 0..255."""
    return _to_uint8(rng.standard_normal(image_shape) + 0.5)


def uniform(image_shape: Shape, rng: np.random.Generator) -> NDArray[np.uint8]:
    """An image (C, H, W) of independent values, each of 0..255 equally likely."""
    return rng.integers(256, size=image_shape, dtype=np.uint8)


def blocks(image_shape: Shape, rng: np.random.Generator) -> NDArray[np.uint8]:
    """An image (C, H, W) of rectangles, each of one random colour."""
    channels, height, width = image_shape
    cells = int(rng.integers(*CELLS, endpoint=True))
    colours = rng.integers(256, size=(channels, cells, cells), dtype=np.uint8)
    rows, columns = np.arange(height) * cells // height, np.arange(width) * cells // width
    return colours[:, rows[:, None], columns]


def patch(image_shape: Shape, rng: np.random.Generator) -> NDArray[np.uint8]:
    """An image (C, H, W): a random square of a random sample photograph, resized."""
    channels, height, width = image_shape
    square = _square((height, width), int(rng.integers(*PATCH_SIDES, endpoint=True)), rng)
    return Preprocessing(height, width, channels)(square)


def changed_patch(image_shape: Shape, rng: np.random.Generator) -> NDArray[np.uint8]:
    """An image (C, H, W): a patch of any scale, mirrored, turned, and in other colours."""
    channels, height, width = image_shape
    side = int(np.exp(rng.uniform(*np.log(CHANGED_SIDES))))
    square = np.asarray(_square((height, width), side, rng), dtype=np.float64)
    quarters = int(rng.integers(4)) if height == width else 2 * int(rng.integers(2))
    square = np.rot90(square[:, :: int(rng.choice([-1, 1]))], quarters)[:, :, rng.permutation(3)]
    mean = square.mean()
    square = mean + rng.uniform(*CONTRAST) * (square - mean) + rng.uniform(-BRIGHTNESS, BRIGHTNESS)
    grey = square.mean(axis=2, keepdims=True)
    square = grey + rng.uniform(*SATURATION) * (square - grey) if channels == 3 else grey
    return _to_uint8(square.transpose(2, 0, 1) / 255)


def _square(size: tuple[int, int], side: int, rng: np.random.Generator) -> Image.Image:
    """A random square of a random sample photograph, resized to (H, W)."""
    photographs = _pictures()
    picture = photographs[rng.integers(len(photographs))]
    left = int(rng.integers(picture.width - side, endpoint=True))
    top = int(rng.integers(picture.height - side, endpoint=True))
    return picture.resize(size[::-1], RESAMPLING, (left, top, left + side, top + side))


@cache
def _pictures() -> tuple[Image.Image, ...]:
    return tuple(Image.fromarray(photograph) for photograph in sample_photographs())


def _to_uint8(values: Array) -> NDArray[np.uint8]:
    clipped: NDArray[np.uint8] = np.rint(255 * values.clip(0, 1)).astype(np.uint8)
    return clipped
