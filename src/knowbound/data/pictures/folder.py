"""Folders of pictures, and plain image lists -> Sources.  Every file is either in the source or
named with the reason."""

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from knowbound.data.pictures.folder_pixels import FolderPixels
from knowbound.data.pictures.picture_files import (
    UnreadableImage,
    UnreadableImageError,
    decode,
    in_order,
    open_picture,
    read_files,
    read_image,
)
from knowbound.data.pictures.picture_lists import (
    Listing,
    Problem,
    list_files,
    list_pictures,
    printable,
)
from knowbound.data.preprocessing import Preprocessing, to_colour_or_grey
from knowbound.data.source import Pixels, Source
from knowbound.errors import UserError
from knowbound.labels import OUT

__all__ = [
    "FolderPixels",
    "FolderRead",
    "Problem",
    "UnreadableImage",
    "UnreadableImageError",
    "list_files",
    "measure_folder",
    "open_picture",
    "read_files",
    "read_folder",
    "same_bytes",
]

MEASURED_AT = 64  # pixels of the longer side of the thumbnail that is looked at for colour
# of 255 between a pixel's channels: what JPEG's rounding and camera noise may leave in a grey
# picture
GREY_SPREAD = 12
# a picture is in colour where more than this share of its pixels is: one hot pixel is no colour
COLOUR_SHARE = 0.01


@dataclass(frozen=True, eq=False)
class FolderRead:
    """The images of a folder, where each comes from, and every file that is not among them or has a
    remark.

    source: labels are class indices, or ``OUT`` where no classes were asked for; paths: (N) as
    given, printable; file_sha256: (N) hash of each image file's bytes; both in the source's order.
    """

    source: Source
    paths: tuple[str, ...]
    file_sha256: tuple[str, ...]
    problems: tuple[Problem, ...]

    @property
    def sha256(self) -> str:
        """Hash of the files' bytes, labels and class names, in order: for provenance, without
        decoding anything."""
        digest = hashlib.sha256(
            repr((self.source.class_names, self.source.labels.tolist())).encode()
        )
        digest.update("".join(self.file_sha256).encode())
        return digest.hexdigest()


@dataclass(frozen=True)
class _Read:
    """One file read: its image, or None and the reason."""

    image: NDArray[np.uint8] | None
    remark: str
    sha256: str = ""


def read_folder(
    folder: Path,
    preprocessing: Preprocessing,
    *,
    classes: bool,
    memory_limit: int = 2 * 1024**3,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> FolderRead:
    """Every picture of a folder (with ``classes``, ``class/.../picture``) or of a list of pictures,
    as ``list_pictures`` has it.

    Images are (C, H, W) uint8 after ``preprocessing``, in memory up to ``memory_limit`` bytes
    together, else decoded again whenever asked for (the hash and every problem are known now all
    the same); workers: threads, by default one for each core up to 8; progress: called with (files
    done, files). Raises UserError for a folder that cannot be used or has no readable picture.
    """
    listing = list_pictures(folder, classes)
    files = listing.files
    shape = (len(files), preprocessing.channels, preprocessing.height, preprocessing.width)
    held = np.empty(shape, dtype=np.uint8) if np.prod(shape, dtype=float) <= memory_limit else None
    problems = list(listing.problems)
    kept: list[int] = []
    hashes: list[str] = []
    for position, read in enumerate(
        in_order(lambda path: _read(path, preprocessing), files, workers)
    ):
        if read.remark:
            problems.append(
                Problem(printable(files[position]), read.remark, used=read.image is not None)
            )
        if read.image is not None:
            if held is not None:
                held[len(kept)] = read.image
            kept.append(position)
            hashes.append(read.sha256)
        if progress:
            progress(position + 1, len(files))
    if not kept:
        raise UserError(_no_picture(folder, problems))
    order = np.array(kept, dtype=np.int64)
    pixels: Pixels = (
        FolderPixels(files, order, preprocessing, workers) if held is None else held[: len(kept)]
    )
    labels, names, missing = _label(listing, kept)
    source = Source(
        printable(Path(os.path.abspath(folder)).name), pixels, labels, names
    )  # of a link its own name; of "." too
    for name in missing:
        place = folder / name if folder.is_dir() else folder
        problems.append(
            Problem(
                printable(place), f"class {name} has no readable image and is left out", used=False
            )
        )
    return FolderRead(
        source, tuple(printable(files[k]) for k in kept), tuple(hashes), tuple(problems)
    )


def measure_folder(
    folder: Path, *, classes: bool, sample: int = 200
) -> tuple[tuple[int, int], bool]:
    """Median (height, width) in pixels of about ``sample`` pictures spread over the folder, and
    whether one has colour.

    A picture has colour where the channels of more than 1 % of its pixels lie more than 12 of 255
    apart: JPEG leaves less grey. Raises UserError for a folder that cannot be used or has no
    readable picture.
    """
    listing = list_pictures(folder, classes)
    files = listing.files
    spread = np.unique(np.linspace(0, len(files) - 1, min(sample, len(files))).round().astype(int))
    rest = np.setdiff1d(np.arange(len(files)), spread)
    answers = list(in_order(_measure, [files[i] for i in spread]))
    measured = [answer for answer in answers if not isinstance(answer, Problem)]
    if not measured:  # the first readable one of the others will do
        others = in_order(_measure, [files[i] for i in rest])
        measured = list(islice((answer for answer in others if not isinstance(answer, Problem)), 1))
    if not measured:
        broken = [answer for answer in answers if isinstance(answer, Problem)]
        raise UserError(_no_picture(folder, [*listing.problems, *broken]))
    height, width = np.median([size for size, _ in measured], axis=0)
    return (max(1, round(height)), max(1, round(width))), any(colour for _, colour in measured)


def same_bytes(first: FolderRead, second: FolderRead) -> list[tuple[str, str]]:
    """(path in ``first``, path in ``second``) for each file of ``second`` whose very bytes are also
    in ``first``."""
    owner: dict[str, str] = {}
    for sha256, path in zip(first.file_sha256, first.paths, strict=True):
        owner.setdefault(sha256, path)
    hashed = zip(second.file_sha256, second.paths, strict=True)
    return [(owner[sha256], path) for sha256, path in hashed if sha256 in owner]


def _read(path: Path, preprocessing: Preprocessing) -> _Read:
    try:
        image, remark = read_image(path, preprocessing)
        with path.open("rb") as file:
            return _Read(image, remark, hashlib.file_digest(file, "sha256").hexdigest())
    except UnreadableImageError as error:
        return _Read(None, str(error))
    except OSError as error:
        return _Read(None, f"cannot be read: {error.strerror or error}")


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


def _measure(path: Path) -> tuple[tuple[int, int], bool] | Problem:
    try:
        picture, size, _ = decode(path, shrink_to=(MEASURED_AT, MEASURED_AT))
        small = to_colour_or_grey(picture, 3)
        small.thumbnail((MEASURED_AT, MEASURED_AT))
    except (UnreadableImageError, ValueError, OSError) as error:
        return Problem(printable(path), str(error), used=False)
    pixels = np.asarray(small)
    coloured = pixels.max(axis=2) - pixels.min(axis=2) > GREY_SPREAD
    return size, bool(coloured.mean() > COLOUR_SHARE)


def _no_picture(folder: Path, problems: Sequence[Problem]) -> str:
    first = f" (the first: {problems[0].path}: {problems[0].reason})" if problems else ""
    return f"none of the files of {printable(folder)} is a readable picture{first}; expected PNG, JPEG or other picture files"
