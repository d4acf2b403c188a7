"""Images decoded from their files when they are asked for: how a set larger than memory is trained
on."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knowbound.data.pictures.names import printable
from knowbound.data.pictures.picture_files import (
    MAX_PIXELS,
    UnreadableImageError,
    in_order,
    read_image,
)
from knowbound.data.preprocessing import Preprocessing
from knowbound.data.source import LazyPixels
from knowbound.errors import UserError


@dataclass(frozen=True, eq=False)
class FolderPixels(LazyPixels):
    """The ``Pixels`` of a Source whose images stay in their files.

    order: (N,) int64, which of ``files`` image n is; indexed like an array of shape (N, C, H, W),
    uint8 in 0..255. Indexing decodes the files asked for, and no other, and raises UserError for
    one that cannot be read any more.
    """

    files: Sequence[Path]
    order: NDArray[np.int64]
    preprocessing: Preprocessing
    workers: int | None = None
    max_pixels: int = MAX_PIXELS

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, C, H, W)."""
        return (
            len(self.order),
            self.preprocessing.channels,
            self.preprocessing.height,
            self.preprocessing.width,
        )

    @property
    def dtype(self) -> np.dtype[np.uint8]:
        """uint8."""
        return np.dtype(np.uint8)

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, indices: Any, /) -> NDArray[np.uint8]:
        """The images at ``indices`` (integers, a slice or a mask), decoded: (B, C, H, W), or (C, H,
        W) for one integer."""
        chosen = self.order[indices]
        files = [self.files[position] for position in np.ravel(chosen)]
        images = np.empty((len(files), *self.shape[1:]), dtype=np.uint8)
        for image, decoded in zip(images, in_order(self._read, files, self.workers), strict=True):
            image[...] = decoded
        return images.reshape(*np.shape(chosen), *self.shape[1:])

    def subset(self, indices: NDArray[np.int64] | slice) -> "FolderPixels":
        """The images at ``indices`` in that order, without decoding any: what ``Source.take`` asks
        for."""
        return replace(self, order=self.order[indices])

    def _read(self, path: Path) -> NDArray[np.uint8]:
        try:
            return read_image(path, self.preprocessing, max_pixels=self.max_pixels)[0]
        except UnreadableImageError as error:
            raise UserError(
                f"{printable(path)} was read before but cannot be any more ({error}); put it "
                "back, or start again without it"
            ) from error
