"""Images that are made when they are asked for: the pixels of sources larger than memory."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knowbound.data.source import LazyPixels, Source
from knowbound.labels import OUT
from knowbound.values import Array, DType

CHUNK = 256
"""Images made at once where all of them are asked for."""
MEMORY_LIMIT = 2 * 1024**3
"""Bytes of images up to which they are usually held."""
HELD_BYTES = 32 * 1024**2
"""The same of images that teach the domain score alone."""


@dataclass(frozen=True, eq=False)
class MadePixels(LazyPixels):
    """The ``Pixels`` of a Source whose images a function makes, the same ones whenever asked.

    make: positions (B,) -> images (B, C, H, W) of ``dtype``, uint8 or float32; order: (N,) int64,
    the position of image n; image_shape: (C, H, W).
    """

    make: Callable[[NDArray[np.int64]], Array]
    order: NDArray[np.int64]
    image_shape: tuple[int, int, int]
    dtype: DType

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, C, H, W)."""
        return (len(self.order), *self.image_shape)

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, indices: Any, /) -> Array:
        """The images at ``indices`` (integers, a slice or a mask): (B, C, H, W), or (C, H, W) for
        one integer."""
        chosen = self.order[indices]
        wanted = np.ravel(chosen)
        images = np.empty((len(wanted), *self.image_shape), dtype=self.dtype)
        for start in range(0, len(wanted), CHUNK):
            images[start : start + CHUNK] = self.make(wanted[start : start + CHUNK])
        return images.reshape(*np.shape(chosen), *self.image_shape)

    def subset(self, indices: NDArray[np.int64] | slice) -> "MadePixels":
        """Some of the images, without making any: what ``Source.take`` asks for.

        Args:
            indices: positions, in the order wanted.
        """
        return replace(self, order=self.order[indices])


def made_source(
    name: str,
    make: Callable[[NDArray[np.int64]], Array],
    count: int,
    image_shape: tuple[int, int, int],
    dtype: Any,
) -> Source:
    """Unlabelled images that are made when they are asked for.

    Args:
        name: of the source.
        make: positions (B,) in 0..count-1 -> images (B, C, H, W).
        count: how many.
        image_shape: (C, H, W).
        dtype: uint8 or float32.
    """
    pixels = MadePixels(make, np.arange(count, dtype=np.int64), image_shape, np.dtype(dtype))
    return Source(name, pixels, np.full(count, OUT, dtype=np.int64))


def keep_in_memory(source: Source, memory_limit: int) -> Source:
    """The source with its images made once and held, where they take little memory.

    Args:
        source: the images.
        memory_limit: bytes; a larger source stays as it is.
    """
    size = int(np.prod(source.pixels.shape)) * np.dtype(source.pixels.dtype).itemsize
    if size > memory_limit:
        return source
    return replace(source, pixels=source.images(slice(None)))
