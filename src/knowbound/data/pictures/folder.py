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
from knowbound.data.pictures.names import printable, storable
from knowbound.data.pictures.picture_files import (
    MAX_PIXELS,
    UnreadableImage,
    UnreadableImageError,
    decode,
    in_order,
    open_picture,
    read_bytes,
    read_decoded,
    read_files,
)
from knowbound.data.pictures.picture_lists import Listing, list_files, list_pictures
from knowbound.data.pictures.problems import Problem
from knowbound.data.pictures.value_loss import Loss, find_loss, say_losses
from knowbound.data.preprocessing import Preprocessing, to_colour_or_grey, wide_values
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

    Raises:
        UserError: for a folder that cannot be used, that has no readable picture, or (with
            ``classes``) whose pictures all become one and the same colour.
    """
    preprocessing.check_settled()
    listing = listing or list_pictures(folder, classes)
    files = listing.files
    shape = (len(files), preprocessing.channels, preprocessing.height, preprocessing.width)
    held = np.empty(shape, dtype=np.uint8) if np.prod(shape, dtype=float) <= memory_limit else None
    problems = list(listing.problems)
    kept: list[int] = []
    reads: list[tuple[str, str]] = []
    losses: list[Loss] = []
    blank = _Blank()
    for position, read in enumerate(
        in_order(lambda path: _read(path, preprocessing, max_pixels), files, workers)
    ):
        if read.remark:
            problems.append(
                Problem(storable(files[position]), read.remark, used=read.image is not None)
            )
        if read.image is not None:
            if held is not None:
                held[len(kept)] = read.image
            kept.append(position)
            reads.append((read.sha256, read.pixel_sha256))
            blank.look(read.image)
        if read.loss is not None:
            losses.append(read.loss)
        if progress:
            progress(position + 1, len(files))
    if not kept:
        raise UserError(_no_picture(folder, problems))
    if classes and blank.colour is not None and len(kept) > 1:
        raise UserError(_one_colour(folder, len(kept), blank.colour, losses))
    order = np.array(kept, dtype=np.int64)
    pixels: Pixels = (
        FolderPixels(files, order, preprocessing, workers, max_pixels)
        if held is None
        else held[: len(kept)]
    )
    labels, names, missing = _label(listing, kept)
    # A link has its own name here; "." has one too.
    source = Source(storable(Path(os.path.abspath(folder)).name), pixels, labels, names)
    for name in missing:
        place = folder / name if folder.is_dir() else folder
        problems.append(
            Problem(
                storable(place), f"class {name} has no readable image and is left out", used=False
            )
        )
    problems += say_losses(losses, storable(folder), preprocessing)
    return FolderRead(
        source,
        tuple(storable(files[k]) for k in kept),
        tuple(sha256 for sha256, _ in reads),
        tuple(problems),
        tuple(pixel_sha256 for _, pixel_sha256 in reads),
    )


class _Blank:
    """Whether all images seen so far are of one and the same colour; colour: which, else None."""

    def __init__(self) -> None:
        self.colour: tuple[int, ...] | None = None
        self._may_be = True

    def look(self, image: NDArray[np.uint8]) -> None:
        """Take one more image, (C, H, W), into account; nothing is computed once two differ."""
        if not self._may_be:
            return
        colour = tuple(int(channel) for channel in image[:, 0, 0])
        flat = bool((image == image[:, :1, :1]).all())
        if not flat or self.colour not in (None, colour):
            self.colour, self._may_be = None, False
        else:
            self.colour = colour


def _one_colour(folder: Path, count: int, colour: tuple[int, ...], losses: Sequence[Loss]) -> str:
    advice = "check that these are the pictures you mean"
    if any(loss.is_blank for loss in losses):
        advice = "show their transparent parts with --background auto"
    elif any(loss.collapses for loss in losses):
        advice = "keep their values with --range auto"
    return (
        f"all {count:,} pictures of {printable(folder)} become one colour, {colour} of 255, and "
        f"nothing can be learned from them; {advice}"
    )


def measure_folder(
    folder: Path, *, classes: bool, sample: int = 200, listing: Listing | None = None
) -> tuple[tuple[int, int], bool]:
    """Median (height, width) in pixels of about ``sample`` pictures spread over the folder, and
    whether one has colour.

    A picture has colour where the channels of more than 1 % of its pixels lie more than 12 of 255
    apart: JPEG leaves less grey.  listing: of this very folder, where it was listed before.  Raises
    UserError for a folder that cannot be used or has no readable picture.
    """
    listing = listing or list_pictures(folder, classes)
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


def _measure(path: Path) -> tuple[tuple[int, int], bool] | Problem:
    try:
        picture, size, _ = decode(path, shrink_to=(MEASURED_AT, MEASURED_AT))
        values = wide_values(picture)
        if values is not None and values.ndim == 2:  # whatever its range is, it is grey
            return size, False
        small = to_colour_or_grey(picture, 3)
        small.thumbnail((MEASURED_AT, MEASURED_AT))
    except (UnreadableImageError, ValueError, OSError) as error:
        return Problem(storable(path), str(error), used=False)
    pixels = np.asarray(small)
    coloured = pixels.max(axis=2) - pixels.min(axis=2) > GREY_SPREAD
    return size, bool(coloured.mean() > COLOUR_SHARE)


def _no_picture(folder: Path, problems: Sequence[Problem]) -> str:
    left = next((problem for problem in problems if not problem.used), None)
    first = f" (the first: {left})" if left else ""
    return (
        f"none of the files of {printable(folder)} is a readable picture{first}; expected PNG, "
        "JPEG or other picture files"
    )
