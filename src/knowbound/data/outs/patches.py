"""Random square cuts from photographs: an anomaly with the texture of the real world."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from knowbound.data.preprocessing import RESAMPLING
from knowbound.data.source import Source
from knowbound.errors import UserError
from knowbound.labels import OUT

LARGEST = 4  # times the patch's size: beyond that a patch is mostly smooth
PHOTOGRAPHS = ("china.jpg", "flower.jpg")
"""Files of scikit-learn's sample images."""


def photograph_patches(
    photographs: Sequence[NDArray[np.uint8]], count: int, size: int, rng: np.random.Generator
) -> Source:
    """Patches of photographs, (count, 3, size, size) uint8, every label ``OUT``.

    Each is a square from a random place of a random photograph, its side drawn from size..4 size
    pixels (as far as the photograph permits), resized with an antialiased bilinear filter.

    Args:
        photographs: (H, W, 3) uint8 each.
        count: how many patches.
        size: of a patch in pixels.
        rng: draws them.

    Raises:
        UserError: there is no photograph, or one is smaller than ``size``.
        ValueError: photographs of other shapes.
    """
    if not photographs:
        raise UserError("no photograph was given to cut patches from; expected at least one")
    for photograph in photographs:
        _check(photograph, size)
    pictures = [Image.fromarray(photograph) for photograph in photographs]
    pixels = np.empty((count, 3, size, size), dtype=np.uint8)
    for index in range(count):
        picture = pictures[rng.integers(len(pictures))]
        patch = picture.crop(_random_square(picture.width, picture.height, size, rng))
        pixels[index] = np.asarray(patch.resize((size, size), RESAMPLING)).transpose(2, 0, 1)
    return Source("photograph patches", pixels, np.full(count, OUT, dtype=np.int64))


def sample_photographs() -> list[NDArray[np.uint8]]:
    """The two photographs that come with scikit-learn, a temple and a flower: (427, 640, 3) uint8
    each, no download.

    Raises:
        UserError: scikit-learn is not installed.
    """
    found = find_spec("sklearn")  # importing it takes seconds, and only its two files are wanted
    if found is None or not found.submodule_search_locations:
        raise UserError("scikit-learn is not installed; run: pip install scikit-learn")
    images = Path(found.submodule_search_locations[0]) / "datasets" / "images"
    photographs = []
    for name in PHOTOGRAPHS:
        with Image.open(images / name) as picture:
            photographs.append(np.asarray(picture))
    return photographs


def _random_square(
    width: int, height: int, size: int, rng: np.random.Generator
) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of a square inside the picture."""
    side = int(rng.integers(size, min(LARGEST * size, width, height), endpoint=True))
    left = int(rng.integers(0, width - side, endpoint=True))
    top = int(rng.integers(0, height - side, endpoint=True))
    return left, top, left + side, top + side


def _check(photograph: NDArray[np.uint8], size: int) -> None:
    if photograph.dtype != np.uint8 or photograph.ndim != 3 or photograph.shape[2] != 3:
        found = f"{photograph.dtype} of shape {photograph.shape}"
        raise ValueError(f"a photograph is {found}; expected uint8 of shape (H, W, 3)")
    if min(photograph.shape[:2]) < size:
        raise UserError(
            f"a photograph has {photograph.shape[1]} x {photograph.shape[0]} pixels; "
            f"expected at least {size} x {size}, so leave it out or ask for smaller patches"
        )
