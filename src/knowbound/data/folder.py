"""A folder of pictures, or a list of them -> a Source; nothing is lost in silence."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from os import walk
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from knowbound.data.picture_files import UnreadableImageError as UnreadableImageError
from knowbound.data.picture_files import decode_all
from knowbound.data.picture_files import open_picture as open_picture
from knowbound.data.picture_files import read_files as read_files
from knowbound.data.preprocessing import Preprocessing, to_colour_or_grey
from knowbound.data.source import Source
from knowbound.errors import UserError
from knowbound.labels import OUT

NO_PICTURES = {"thumbs.db", "desktop.ini"}
LIST_ENDINGS = {".txt", ".csv", ".tsv", ".lst"}
COLOUR_STEP, COLOUR_SHARE = 12, 0.01
"""A pixel is coloured if its channels differ by more than this; a picture, if more than this share of its pixels are."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One file that could not be used, or was used with a remark."""

    path: Path
    reason: str
    used: bool
    """True: it was read all the same, and ``reason`` says what to know about it."""


@dataclass(frozen=True, eq=False)
class FolderRead:
    """The images of a folder, where each came from, and every file that could not be used."""

    source: Source
    paths: tuple[str, ...]
    """One for each image, in the source's order."""
    file_sha256: tuple[str, ...]
    """Hash of each image file's bytes, in the same order."""
    problems: tuple[Problem, ...]

    @property
    def sha256(self) -> str:
        """One hash over class names, labels and files: the same images in another place give the same."""
        digest = sha256(repr(self.source.class_names).encode())
        for label, file in sorted(zip(self.source.labels.tolist(), self.file_sha256, strict=True)):
            digest.update(f"{label} {file}\n".encode())
        return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class FolderPixels:
    """Pictures that are decoded each time they are asked for: a set larger than the memory."""

    files: tuple[Path, ...]
    preprocessing: Preprocessing

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, C, H, W)."""
        return len(self.files), self.preprocessing.channels, self.preprocessing.height, self.preprocessing.width

    @property
    def dtype(self) -> np.dtype[np.uint8]:
        """uint8."""
        return np.dtype(np.uint8)

    def subset(self, indices: NDArray[np.int64]) -> "FolderPixels":
        """The pictures at ``indices``, still undecoded."""
        return FolderPixels(tuple(self.files[i] for i in indices), self.preprocessing)

    def __getitem__(self, indices: NDArray[np.int64] | slice) -> NDArray[np.uint8]:
        chosen = np.arange(len(self.files))[indices]
        files = [self.files[i] for i in chosen]
        out = np.empty((len(files), *self.shape[1:]), dtype=np.uint8)
        for row, (path, decoded) in enumerate(zip(files, decode_all(files, self.preprocessing), strict=True)):
            if decoded.image is None:
                raise UserError(f"{path} {decoded.remark}; it could be read before: restore it, or remove it and start again")
            out[row] = decoded.image
        return out


def list_files(folder: Path) -> list[Path]:
    """Every file at any depth in natural order (2 before 10); hidden ones and the desktop's own are left out."""
    found = []
    for place, folders, files in walk(folder):  # does not follow links to folders, so there are no loops
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(place) / f for f in files if not f.startswith(".") and f.lower() not in NO_PICTURES]
    return sorted(found, key=lambda path: natural_key(str(path.relative_to(folder))))


def natural_key(text: str) -> list[tuple[int, int, str]]:
    """A sorting key that counts: "2" before "10"."""
    return [(0, int(part), part) if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", text) if part]


def read_folder(
    folder: Path,
    preprocessing: Preprocessing,
    *,
    classes: bool,
    memory_limit: int = 2 * 1024**3,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> FolderRead:
    """All usable pictures of a folder or of a list of files, each decoded once, so that every problem is known beforehand.

    classes: True = ``folder/class/...`` at any depth (or a second column of the list), False = no labels, every image ``OUT``;
    memory_limit: bytes; a larger set is decoded again when its images are asked for; progress: called with (done, all).
    Raises UserError, with one sentence, for a place that holds nothing to use.
    """
    files, names, problems = _find(folder, classes)
    size = len(files) * preprocessing.channels * preprocessing.height * preprocessing.width
    kept: list[int] = []
    hashes: list[str] = []
    images: list[NDArray[np.uint8]] = []
    for index, decoded in enumerate(decode_all(files, preprocessing, workers=workers)):
        if decoded.remark:
            problems.append(Problem(files[index], decoded.remark, used=decoded.image is not None))
        if decoded.image is not None:
            kept.append(index)
            hashes.append(decoded.file_sha256)
            if size <= memory_limit:
                images.append(decoded.image)
        if progress:
            progress(index + 1, len(files))
    if not kept:
        raise UserError(
            f"{folder} has no picture that can be read (the first: {problems[0].path} {problems[0].reason}); expected pictures"
        )
    readable = tuple(files[index] for index in kept)
    pixels = np.stack(images) if images else FolderPixels(readable, preprocessing)
    class_names = tuple(sorted({names[index] for index in kept}, key=natural_key)) if classes else ()
    for name in sorted(set(names) - set(class_names), key=natural_key) if classes else ():
        problems.append(Problem(folder / name, f"the class {name!r} has no picture that can be read and is left out", used=False))
    index_of = {name: label for label, name in enumerate(class_names)}
    labels = np.array([index_of[names[i]] if classes else OUT for i in kept], dtype=np.int64)
    return FolderRead(
        Source(folder.name or str(folder.resolve().name), pixels, labels, class_names),
        tuple(map(str, readable)),
        tuple(hashes),
        tuple(problems),
    )


def same_bytes(first: FolderRead, second: FolderRead) -> list[tuple[str, str]]:
    """(path in first, path in second) of every file in second whose bytes are also a file of first."""
    where = dict(zip(first.file_sha256, first.paths, strict=True))
    return [(where[h], path) for h, path in zip(second.file_sha256, second.paths, strict=True) if h in where]


def measure_folder(folder: Path, *, classes: bool, sample: int = 200) -> tuple[tuple[int, int], bool]:
    """((median height, median width), whether any picture has colour) over a spread-out sample of the readable pictures.

    Raises UserError as ``read_folder`` does.
    """
    files, _, _ = _find(folder, classes)
    spread = [files[i] for i in np.unique(np.linspace(0, len(files) - 1, min(sample, len(files))).astype(int))]
    sizes, colour = [], False
    for path in spread:
        try:
            picture, _ = open_picture(path)
            sizes.append((picture.height, picture.width))
            colour = colour or has_colour(picture)
        except (UnreadableImageError, ValueError):
            continue
    height, width = np.median(sizes, axis=0) if sizes else (1, 1)
    return (int(height), int(width)), colour


def has_colour(picture: Image.Image) -> bool:
    """Whether the picture is in colour and not merely stored so: the traces that JPEG leaves in grey pictures do not count."""
    small = picture.copy()
    small.thumbnail((64, 64))
    pixels = np.asarray(to_colour_or_grey(small, 3)).astype(np.int16)
    return bool(np.mean(np.ptp(pixels, axis=2) > COLOUR_STEP) > COLOUR_SHARE)


def _find(folder: Path, classes: bool) -> tuple[list[Path], list[str], list[Problem]]:
    """(files, the class name of each, problems).  Raises UserError where there is nothing to use."""
    if folder.is_file():
        return _read_list(folder, classes)
    if not folder.is_dir():
        raise UserError(f"{folder} does not exist; expected a folder of pictures" + (", one folder a class" if classes else ""))
    files = list_files(folder)
    if not files:
        raise UserError(f"{folder} is an empty folder; expected pictures in it" + (", one folder a class" if classes else ""))
    if not classes:
        return files, [""] * len(files), []
    inside = [path for path in files if path.parent != folder]
    if not inside:
        raise UserError(
            f"{folder} has no folders in it, only {len(files)} files; expected one folder for each class: {folder}/class/picture"
        )
    beside = [Problem(path, "lies beside the class folders, not in one", used=False) for path in files if path.parent == folder]
    return inside, [path.relative_to(folder).parts[0] for path in inside], beside


def _read_list(path: Path, classes: bool) -> tuple[list[Path], list[str], list[Problem]]:
    """A text file with a path in each line and, after a comma or a tab, its class; paths are relative to the list's folder."""
    if path.suffix.lower() not in LIST_ENDINGS:
        raise UserError(f"{path} is a file; expected a folder, or a list of pictures ({', '.join(sorted(LIST_ENDINGS))})")
    files, names = [], []
    for number, (file, name) in _lines(path):
        if classes and not name:
            raise UserError(f"line {number} of {path} names no class; expected path,class")
        files.append(path.parent / file)
        names.append(name)
    if not files:
        raise UserError(
            f"{path} lists no picture; expected a path in each line" + (", and its class after a comma" if classes else "")
        )
    return files, names, []


def _lines(path: Path) -> Iterator[tuple[int, tuple[str, str]]]:
    try:
        lines: Sequence[str] = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read as a list of pictures ({error}); expected UTF-8 text") from error
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.lstrip().startswith("#"):
            separator = "\t" if "\t" in line else ","
            file, _, name = line.rpartition(separator) if separator in line else (line, "", "")
            yield number, (file.strip(), name.strip())
