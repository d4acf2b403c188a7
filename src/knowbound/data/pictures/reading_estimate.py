"""How much memory the pictures of a folder will take, before any is decoded."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from knowbound.data.pictures.decoding import bytes_to_read
from knowbound.data.pictures.memory_gate import GATE
from knowbound.data.pictures.picture_files import (
    UnreadableImageError,
    in_order,
    usual_workers,
)
from knowbound.data.pictures.picture_lists import Listing
from knowbound.data.preprocessing import Preprocessing
from knowbound.errors import UserError

SAMPLE = 200
"""Pictures whose headers are read, spread over the folder, besides the largest files."""
LARGEST = 50
"""The largest files, whose headers are read too: a folder's one big picture is among them."""
GB = 1e9


@dataclass(frozen=True)
class ReadingEstimate:
    """Bytes that reading a folder takes.

    Args:
        images: how many files there are.
        image_shape: (C, H, W) of each image, uint8.
        held: of all images together where they are held in memory; 0 where they are decoded again
            whenever asked for.
        largest: to decode the largest picture whose header was read.
        threads: that decode side by side.
    """

    images: int
    image_shape: tuple[int, int, int]
    held: int
    largest: int
    threads: int

    @property
    def decoding(self) -> int:
        """Of the pictures decoded at the same time: each as large as the largest, but no more
        together than ``MemoryGate`` lets pass."""
        return max(self.largest, min(self.threads * self.largest, GATE.budget))

    @property
    def total(self) -> int:
        """Of images and decoding together."""
        return self.held + self.decoding

    def __str__(self) -> str:
        """What takes how much: ``0.2 GB for 50,000 images of 3 x 32 x 32 and 1.1 GB to decode``."""
        shape = " x ".join(map(str, self.image_shape))
        held = (
            f"{self.held / GB:.2g} GB for {self.images:,} images of {shape}"
            if self.held
            else f"nothing held of {self.images:,} images of {shape}, which are decoded again"
        )
        return f"{held}, and {self.decoding / GB:.2g} GB to decode them on {self.threads} threads"

    def refuse_beyond(self, memory: int) -> None:
        """Raises UserError, with the numbers, where more than ``memory`` bytes are needed."""
        if self.total > memory:
            raise UserError(
                f"reading takes about {self.total / GB:.2g} GB ({self}), more than the "
                f"{memory / GB:.2g} GB allowed; ask for smaller images with --size, or allow more "
                "with --memory"
            )


def estimate_reading(
    listing: Listing,
    preprocessing: Preprocessing,
    threads: int | None = None,
    *,
    memory_limit: int = 2 * 1024**3,
) -> ReadingEstimate:
    """The bytes that ``read_folder`` takes for a listing; only headers are read.

    Args:
        listing: the files.
        preprocessing: whose size decides at which fraction JPEGs are decoded.
        threads: that decode; by default as many as there are cores, up to 8, whose pictures fit the
            budget of ``MemoryGate`` together.
        memory_limit: of ``read_folder``: bytes up to which images are held.
    """
    shape = (preprocessing.channels, preprocessing.height, preprocessing.width)
    target = (preprocessing.height, preprocessing.width)
    sizes = list(in_order(lambda path: _bytes(path, target), _sample(listing.files)))
    largest = max(sizes, default=0)
    fitting = max(1, GATE.budget // max(1, largest))
    held = len(listing.files) * int(np.prod(shape))
    return ReadingEstimate(
        images=len(listing.files),
        image_shape=shape,
        held=held if held <= memory_limit else 0,
        largest=largest,
        threads=threads or min(usual_workers(), fitting),
    )


def _sample(files: Sequence[Path]) -> list[Path]:
    """Some files spread over all, and the largest ones."""
    spread = np.linspace(0, len(files) - 1, min(SAMPLE, len(files))).round().astype(int)
    largest = sorted(files, key=_file_size, reverse=True)[:LARGEST]
    return list(dict.fromkeys([*(files[i] for i in spread), *largest]))


def _file_size(path: Path) -> int:
    try:
        return os.stat(path).st_size
    except (OSError, ValueError):
        return 0


def _bytes(path: Path, target: tuple[int, int]) -> int:
    try:
        return bytes_to_read(path, target)
    except UnreadableImageError:
        return 0
