"""Crops that remember the frame they were cut from, so that no frame falls on both sides of a
split."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from knowbound.data.preprocessing import Preprocessing
from knowbound.data.source import Source


@dataclass(frozen=True, eq=False)
class Crops:
    """N crops, and for each the frame it comes from.

    source: the images, their labels and class names; frames: (N,) str, the id of each crop's source
    frame; sizes: (N, 2) int64, height and width in pixels before any resizing.  Raises ValueError
    where the counts differ.
    """

    source: Source
    frames: NDArray[np.str_]
    sizes: NDArray[np.int64]

    def __post_init__(self) -> None:
        count = len(self.source)
        if self.frames.shape != (count,) or self.sizes.shape != (count, 2):
            raise ValueError(
                f"{self.source.name!r} has {count} crops, frames of shape {self.frames.shape} and "
                f"sizes of shape {self.sizes.shape}; expected ({count},) and ({count}, 2)"
            )

    def __len__(self) -> int:
        return len(self.source)

    def take(self, indices: NDArray[np.int64], name: str | None = None) -> "Crops":
        """Some of the crops, with the same class names.

        Args:
            indices: positions, in the order wanted.
            name: of the new source; by default the same.
        """
        return Crops(self.source.take(indices, name), self.frames[indices], self.sizes[indices])

    def take_classes(self, names: Sequence[str], name: str | None = None) -> "Crops":
        """The crops of some classes, relabelled 0.. in the order given.

        Args:
            names: of the classes.
            name: of the new source; by default the same.

        Raises:
            ValueError: unknown names.
        """
        wanted = [
            label for label, known in enumerate(self.source.class_names) if known in set(names)
        ]
        keep = np.flatnonzero(
            np.isin(self.source.labels, wanted)
        )  # the order in which take_classes keeps them
        return Crops(self.source.take_classes(names, name), self.frames[keep], self.sizes[keep])

    def class_counts(self) -> dict[str, int]:
        """How many crops each class has, in the order of the class names."""
        counts = np.bincount(
            self.source.labels[self.source.labels >= 0], minlength=len(self.source.class_names)
        )
        return {
            name: int(count) for name, count in zip(self.source.class_names, counts, strict=True)
        }


@dataclass(frozen=True)
class Crop:
    """One crop as a reader collects it: its image (C, H, W), label, frame, and height and width
    before resizing."""

    image: NDArray[np.uint8]
    label: int
    frame: str
    size: tuple[int, int]


def collect_crops(
    crops: Sequence[Crop], name: str, class_names: tuple[str, ...], preprocessing: Preprocessing
) -> Crops:
    """Crops in one array, in their order; none at all gives (0, C, H, W).

    Args:
        crops: cut and resized.
        name: of the source.
        class_names: that their labels point to.
        preprocessing: that gave them their shape.
    """
    pixels = np.empty(
        (len(crops), preprocessing.channels, preprocessing.height, preprocessing.width),
        dtype=np.uint8,
    )
    for index, crop in enumerate(crops):
        pixels[index] = crop.image
    source = Source(
        name, pixels, np.array([crop.label for crop in crops], dtype=np.int64), class_names
    )
    frames = np.array([crop.frame for crop in crops], dtype=np.str_)
    return Crops(
        source, frames, np.array([crop.size for crop in crops], dtype=np.int64).reshape(-1, 2)
    )
