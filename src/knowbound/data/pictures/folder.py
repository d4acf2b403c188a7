"""Folders of pictures, and plain image lists -> Sources.  Every file is either in the source or
named with the reason."""

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from knowbound.data.pictures.folder_measure import measure_folder, no_picture
from knowbound.data.pictures.folder_pixels import FolderPixels
from knowbound.data.pictures.names import storable
from knowbound.data.pictures.one_colour import OneColour, say_one_colour
from knowbound.data.pictures.picture_files import (
    MAX_PIXELS,
    UnreadableImageError,
    in_order,
    open_picture,
    read_bytes,
    read_decoded,
    read_files,
)
from knowbound.data.pictures.picture_lists import Listing, list_files, list_pictures
from knowbound.data.pictures.problems import Problem
from knowbound.data.pictures.value_loss import Loss, find_loss, say_losses
from knowbound.data.preprocessing import Preprocessing
from knowbound.data.source import Source
from knowbound.errors import UserError
from knowbound.labels import OUT
from knowbound.values import Pixels

__all__ = [
    "FolderPixels",
    "FolderRead",
    "Problem",
    "UnreadableImageError",
    "list_files",
    "measure_folder",
    "open_picture",
    "read_files",
    "read_folder",
]


@dataclass(frozen=True, eq=False)
class FolderRead:
    """The images of a folder, where each comes from, and every file that is not among them or has a
    remark.

    Args:
        source: labels are class indices, or ``OUT`` where no classes were asked for.
        paths: (N) as written, in the source's order.
        file_sha256: (N) hash of each file's bytes, in the same order.
        problems: of the files, of the lines of a list, and of the folder as a whole.
        pixel_sha256: (N) hash of each image as the model takes it, in the same order.
    """

    source: Source
    paths: tuple[str, ...]
    file_sha256: tuple[str, ...]
    problems: tuple[Problem, ...]
    pixel_sha256: tuple[str, ...]

    @property
    def sha256(self) -> str:
        """Hash of the files' bytes, labels and class names, in order: for provenance, without
        decoding anything."""
        digest = hashlib.sha256(
            repr((self.source.class_names, self.source.labels.tolist())).encode()
        )
        digest.update("".join(self.file_sha256).encode())
        return digest.hexdigest()

    @property
    def class_counts(self) -> dict[str, int]:
        """How many images each class has, in the order of the class names."""
        names = self.source.class_names
        counts = np.bincount(self.source.labels[self.source.labels >= 0], minlength=len(names))
        return {name: int(count) for name, count in zip(names, counts, strict=True)}


@dataclass(frozen=True)
class _Read:
    """One file read: its image, or None and the reason."""

    image: NDArray[np.uint8] | None
    remark: str
    sha256: str = ""
    pixel_sha256: str = ""
    loss: Loss | None = None


class ReadBefore:
    """Files that were read already, by how they became images: no file is decoded twice alike.

    What is kept is given once.  So the images of a sample are held until the whole folder is read.
    """

    def __init__(self) -> None:
        self._reads: dict[tuple[Path, Preprocessing], _Read] = {}

    def keep(self, path: Path, preprocessing: Preprocessing, read: _Read) -> None:
        """Keep what a file gave."""
        self._reads[path, preprocessing] = read

    def take(self, path: Path, preprocessing: Preprocessing) -> _Read | None:
        """What the file gave; None where it was not read, or was taken already."""
        return self._reads.pop((path, preprocessing), None)


def read_folder(
    folder: Path,
    preprocessing: Preprocessing,
    *,
    classes: bool,
    memory_limit: int = 2 * 1024**3,
    workers: int | None = None,
    max_pixels: int = MAX_PIXELS,
    progress: Callable[[int, int], None] | None = None,
    listing: Listing | None = None,
    before: ReadBefore | None = None,
    sample: bool = False,
) -> FolderRead:
    """Every picture of a folder (with ``classes``, ``class/.../picture``) or of a list of pictures,
    as ``list_pictures`` has it.

    Args:
        folder: or a list.
        preprocessing: settled (see ``value_range.settle``).
        classes: whether the pictures have classes.
        memory_limit: bytes of images, (C, H, W) uint8, up to which they are held in memory; more
            are decoded again whenever asked for.  The hash and every problem are known all the same.
        workers: threads that decode, by default one for each core up to 8.
        max_pixels: the most width x height a picture's header may announce.
        progress: called with (files done, files).
        listing: of this very folder, where it was listed before.
        before: files that were read already; they are not decoded again.
        sample: whether these files are to be kept there, for a whole that is read later.

    Raises:
        UserError: for a folder that cannot be used, that has no readable picture, or (with
            ``classes``) whose pictures all become one and the same colour.
    """
    preprocessing.check_settled()
    listing = listing or list_pictures(folder, classes)
    files = listing.files
    got = _Collected(len(files), preprocessing, memory_limit)
    before = before or ReadBefore()

    def read_one(path: Path) -> _Read:
        return before.take(path, preprocessing) or _read(path, preprocessing, max_pixels)

    for position, read in enumerate(in_order(read_one, files, workers)):
        got.add(position, files[position], read)
        if sample:
            before.keep(files[position], preprocessing, read)
        if progress:
            progress(position + 1, len(files))
    if not got.kept:
        raise UserError(no_picture(folder, [*listing.problems, *got.problems]))
    if classes and got.one_colour.colour is not None and len(got.kept) > 1:
        raise UserError(say_one_colour(folder, len(got.kept), got.one_colour.colour, got.losses))
    pixels: Pixels = (
        FolderPixels(files, np.array(got.kept, dtype=np.int64), preprocessing, workers, max_pixels)
        if got.held is None
        else got.held[: len(got.kept)]
    )
    labels, names, missing = _label(listing, got.kept)
    # A link has its own name here; "." has one too.
    source = Source(storable(Path(os.path.abspath(folder)).name), pixels, labels, names)
    problems = [*listing.problems, *got.problems, *_empty_classes(folder, missing)]
    problems += say_losses(got.losses, storable(folder), preprocessing)
    paths = tuple(storable(files[k]) for k in got.kept)
    return FolderRead(
        source, paths, tuple(got.file_sha256), tuple(problems), tuple(got.pixel_sha256)
    )


class _Collected:
    """What was read so far; held: the images, or None where they stay in their files."""

    def __init__(self, count: int, preprocessing: Preprocessing, memory_limit: int) -> None:
        shape = (count, preprocessing.channels, preprocessing.height, preprocessing.width)
        fits = np.prod(shape, dtype=float) <= memory_limit
        self.held = np.empty(shape, dtype=np.uint8) if fits else None
        self.kept: list[int] = []
        self.file_sha256: list[str] = []
        self.pixel_sha256: list[str] = []
        self.problems: list[Problem] = []
        self.losses: list[Loss] = []
        self.one_colour = OneColour()

    def add(self, position: int, path: Path, read: _Read) -> None:
        """Take in one file; position: its place in the listing."""
        if read.remark:
            used = read.image is not None
            self.problems.append(Problem(storable(path), read.remark, used=used))
        if read.loss is not None:
            self.losses.append(read.loss)
        if read.image is None:
            return
        if self.held is not None:
            self.held[len(self.kept)] = read.image
        self.kept.append(position)
        self.file_sha256.append(read.sha256)
        self.pixel_sha256.append(read.pixel_sha256)
        self.one_colour.look(read.image)


def _empty_classes(folder: Path, missing: Sequence[str]) -> list[Problem]:
    """A problem for each class of which no picture could be read."""
    is_folder = folder.is_dir()
    return [
        Problem(
            storable(folder / name if is_folder else folder),
            f"class {name} has no readable image and is left out",
            used=False,
        )
        for name in missing
    ]


def _read(path: Path, preprocessing: Preprocessing, max_pixels: int) -> _Read:
    try:
        content = read_bytes(path)  # once, for both, unless it is very large
        read = read_decoded(path, preprocessing, content, max_pixels)
        digest = _hash(path, content)
    except UnreadableImageError as error:
        return _Read(None, str(error))
    except OSError as error:
        return _Read(None, f"cannot be read: {error.strerror or error}")
    pixels = hashlib.sha256(read.image.tobytes()).hexdigest()
    loss = find_loss(read.picture, read.image, preprocessing)
    return _Read(read.image, read.remark, digest, pixels, loss)


def _hash(path: Path, content: bytes | None) -> str:
    if content is not None:
        return hashlib.sha256(content).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _label(
    listing: Listing, kept: Sequence[int]
) -> tuple[NDArray[np.int64], tuple[str, ...], list[str]]:
    """The labels of the kept files, the names of the classes that have one, and the names of those
    that have none."""
    if not listing.class_names:
        return np.full(len(kept), OUT, dtype=np.int64), (), []
    present = {listing.classes[k] for k in kept}
    names = tuple(name for name in listing.class_names if name in present)
    label = {name: index for index, name in enumerate(names)}
    missing = [name for name in listing.class_names if name not in present]
    return np.array([label[listing.classes[k]] for k in kept], dtype=np.int64), names, missing
