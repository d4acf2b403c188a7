"""Images, labels and class names; nothing about roles."""

import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from knowbound.labels import OUT
from knowbound.values import Array, Pixels


class LazyPixels(ABC):
    """Images that are decoded or made when asked for: a ``Pixels`` of which some can be taken
    without looking at any."""

    @abstractmethod
    def subset(self, indices: NDArray[np.int64]) -> Pixels:
        """Some of the images, still to be decoded or made.

        Args:
            indices: positions, in the order wanted.
        """


SHARED = 64 * 1024**2
"""Bytes of images in memory from which on some of them are not copied: a large set is held once."""


@dataclass(frozen=True, eq=False)
class ChosenPixels(LazyPixels):
    """Some of the images of an array, taken from it when asked for.

    array: (M, C, H, W); order: (N,) positions in it.
    """

    array: Array
    order: NDArray[np.int64]

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, C, H, W)."""
        return (len(self.order), *self.array.shape[1:])

    @property
    def dtype(self) -> Any:
        """The array's."""
        return self.array.dtype

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, indices: Any, /) -> Array:
        """The images at ``indices``, copied: (B, C, H, W), or (C, H, W) for one integer."""
        chosen: Array = self.array[self.order[indices]]
        return chosen

    def subset(self, indices: NDArray[np.int64]) -> "ChosenPixels":
        """Some of these, still not copied.

        Args:
            indices: positions, in the order wanted.
        """
        return replace(self, order=self.order[indices])


@dataclass(frozen=True, eq=False)
class Source:
    """N images of one shape with their labels.

    Attributes:
        name: of the set, as tables show it.
        pixels: (N, C, H, W), C = 1 or 3, uint8 in 0..255 or float32 in [0, 1].
        labels: (N,) int64, an index into ``class_names``, or ``OUT`` (-1) for an image without a
            class.
        class_names: of the classes 0..C-1.

    Raises:
        ValueError: they do not fit together.
    """

    name: str
    pixels: Pixels
    labels: NDArray[np.int64]
    class_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        shape, labels = tuple(self.pixels.shape), self.labels
        if len(shape) != 4 or shape[1] not in (1, 3):
            raise ValueError(
                f"images of {self.name!r} have shape {shape}; expected (N, C, H, W) with C = 1 or 3"
            )
        if self.pixels.dtype not in (np.uint8, np.float32):
            raise ValueError(
                f"images of {self.name!r} are {self.pixels.dtype}; expected uint8 or float32 in "
                "[0, 1]"
            )
        if labels.shape != (shape[0],) or labels.dtype != np.int64:
            raise ValueError(
                f"labels of {self.name!r} are {labels.dtype} of shape {labels.shape}; "
                f"expected int64 of shape ({shape[0]},), one for each image"
            )
        if labels.size and (labels.min() < OUT or labels.max() >= len(self.class_names)):
            raise ValueError(
                f"labels of {self.name!r} lie in {labels.min()}..{labels.max()}; "
                f"expected {OUT}..{len(self.class_names) - 1}, as it has {len(self.class_names)} "
                "class names"
            )

    def __len__(self) -> int:
        return int(self.pixels.shape[0])

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of every image."""
        _, channels, height, width = self.pixels.shape
        return channels, height, width

    def images(self, indices: NDArray[np.int64] | slice) -> Array:
        """The images at some positions.

        Args:
            indices: positions in any order, or a slice.

        Returns:
            (B, C, H, W), uint8 in 0..255 or float32 in [0, 1].
        """
        return np.asarray(self.pixels[indices])

    def take(self, indices: NDArray[np.int64], name: str | None = None) -> "Source":
        """Some of the images, with the same class names.

        Args:
            indices: positions, in the order wanted.
            name: of the new source; by default the same.
        """
        return replace(
            self,
            name=name or self.name,
            pixels=_subset(self.pixels, indices),
            labels=self.labels[indices],
        )

    def take_classes(self, names: Sequence[str], name: str | None = None) -> "Source":
        """The images of some classes, relabelled 0..len(names)-1.

        Args:
            names: of the classes, in the order wanted.
            name: of the new source; by default the same.

        Raises:
            ValueError: unknown names.
        """
        unknown = [n for n in names if n not in self.class_names]
        if unknown:
            raise ValueError(
                f"{self.name!r} has no class {unknown}; it has {list(self.class_names)}"
            )
        new_label = np.full(
            len(self.class_names) + 1, OUT, dtype=np.int64
        )  # the last entry serves label -1
        for position, class_name in enumerate(names):
            new_label[self.class_names.index(class_name)] = position
        relabelled = new_label[self.labels]
        keep = np.flatnonzero(relabelled >= 0)
        return Source(name or self.name, _subset(self.pixels, keep), relabelled[keep], tuple(names))

    def without_labels(self, name: str | None = None) -> "Source":
        """The same images, every label ``OUT``: how seen-out images enter training.

        Args:
            name: of the new source; by default the same.
        """
        return Source(name or self.name, self.pixels, np.full(len(self), OUT, dtype=np.int64))

    def sample(self, count: int, rng: np.random.Generator, name: str | None = None) -> "Source":
        """Images drawn without replacement, in their own order; all of them where there are fewer.

        Args:
            count: how many.
            rng: draws them.
            name: of the new source; by default the same.
        """
        if count >= len(self):
            return self
        return self.take(np.sort(rng.choice(len(self), count, replace=False)), name)

    def sha256(self) -> str:
        """Hash of the images, labels and class names, for provenance.

        Returns:
            64 hexadecimal digits; equal sources give equal hashes.
        """
        digest = hashlib.sha256(
            repr((self.pixels.shape, str(np.dtype(self.pixels.dtype)), self.class_names)).encode()
        )
        digest.update(self.labels.tobytes())
        for start in range(0, len(self), 1024):
            digest.update(self.images(slice(start, start + 1024)).tobytes())
        return digest.hexdigest()


def _subset(pixels: Pixels, indices: NDArray[np.int64]) -> Pixels:
    """Some of the images; those that are decoded when asked for stay undecoded, and many in memory
    are not copied."""
    if isinstance(pixels, LazyPixels):
        return pixels.subset(indices)
    size = math.prod(pixels.shape[1:]) * np.dtype(pixels.dtype).itemsize
    if isinstance(pixels, np.ndarray) and size * len(indices) >= SHARED:
        return ChosenPixels(pixels, indices)
    taken: Pixels = pixels[indices]
    return taken


@overload
def to_unit_interval(pixels: NDArray[np.uint8]) -> NDArray[np.float32]: ...
@overload
def to_unit_interval(pixels: NDArray[np.float32]) -> NDArray[np.float32]: ...
def to_unit_interval(pixels: Array) -> NDArray[np.float32]:
    """Images as fractions: uint8 divided by 255, float32 as it is.

    Args:
        pixels: of any shape, uint8 in 0..255 or float32 in [0, 1].

    Returns:
        The same shape, float32 in [0, 1].
    """
    if pixels.dtype == np.uint8:
        scaled: NDArray[np.float32] = np.multiply(pixels, np.float32(1 / 255), dtype=np.float32)
        return scaled
    return pixels.astype(np.float32, copy=False)
