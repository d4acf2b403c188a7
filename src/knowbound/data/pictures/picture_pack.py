"""A published set of pictures as it was fetched: a zip or tar file, or the folder it was unpacked
to, read alike."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from knowbound.data.pictures.archives import UNREADABLE, files_in_archive
from knowbound.data.pictures.folder_pixels import FolderPixels
from knowbound.data.pictures.names import printable
from knowbound.data.pictures.picture_files import (
    DecodedImage,
    UnreadableImageError,
    in_order,
    read_decoded,
)
from knowbound.data.pictures.picture_lists import list_files
from knowbound.data.preprocessing import Preprocessing
from knowbound.data.source import Source
from knowbound.errors import UserError
from knowbound.labels import OUT
from knowbound.values import Pixels

ENDINGS = ("", ".zip", ".tar", ".tar.gz", ".tgz")
PICTURES = (".png", ".jpg", ".jpeg")
AGAIN = "fetch the set again and put it back whole"


def find_pack(root: Path, folders: Sequence[str], name: str) -> Path | None:
    """``root`` itself where it is called ``name`` (or name.zip, .tar, .tar.gz, .tgz), else the
    first such in it or in ``folders``.

    None where there is none.  Nothing is opened.
    """
    wanted = [name + ending for ending in ENDINGS]
    places = [root] if root.name in wanted else []
    places += [root / folder / file for folder in (".", *folders) for file in wanted]
    return next((place for place in places if place.exists()), None)


@dataclass(frozen=True)
class PicturePack:
    """The files of a folder, zip or tar file.  Nothing of an archive is ever written to disk.

    names: paths below ``place`` in the order of their letters, in which torchvision and the authors
    of ODIN read them too; without hidden files and those an archiver adds.
    """

    place: Path
    names: tuple[PurePosixPath, ...]

    def pictures(self) -> list[PurePosixPath]:
        """The names that end in .png, .jpg or .jpeg."""
        return [name for name in self.names if name.suffix.lower() in PICTURES]

    def text(self, name: PurePosixPath) -> str:
        """What a text file says.  Raises UserError where it is not there or cannot be read."""
        try:
            if self.place.is_dir():
                content = (self.place / name).read_bytes()
            else:
                content = next(
                    read() for found, read in files_in_archive(self.place) if found == name
                )
        except (*UNREADABLE, StopIteration) as error:
            reason = str(error) or "it is not there"
            raise UserError(
                f"{printable(self.place / name)} cannot be read ({reason}); {AGAIN}"
            ) from error
        return content.decode("utf-8", "replace")

    def pixels(
        self,
        names: Sequence[PurePosixPath],
        preprocessing: Preprocessing,
        memory_limit: int = 2 * 1024**3,
    ) -> Pixels:
        """The named pictures in that order, (N, C, H, W) uint8.

        In memory up to ``memory_limit`` bytes together; beyond it those of a folder are decoded
        again whenever asked for. Raises UserError that counts the pictures which cannot be read and
        names the first, and for a larger archive.
        """
        shape = (len(names), preprocessing.channels, preprocessing.height, preprocessing.width)
        large = bool(np.prod(shape, dtype=float) > memory_limit)
        if large and not self.place.is_dir():
            raise UserError(
                f"{printable(self.place)} holds {len(names)} pictures, at {shape[2]} x {shape[3]} "
                f"more than {memory_limit} bytes; unpack it, so that they can be read from the "
                "folder one by one, or ask for smaller images"
            )
        held = None if large else np.empty(shape, dtype=np.uint8)
        self._check(list(names), preprocessing, held)
        files = [self.place / name for name in names]
        return FolderPixels(files, np.arange(len(files)), preprocessing) if held is None else held

    def _check(
        self,
        names: list[PurePosixPath],
        preprocessing: Preprocessing,
        held: NDArray[np.uint8] | None,
    ) -> None:
        """Decode every picture, into ``held`` where there is one.  Raises UserError for those that
        cannot be."""
        position = {name: index for index, name in enumerate(names)}
        reasons = dict.fromkeys(names, "it is not there")
        for name, read in self.decoded(position, preprocessing):
            if isinstance(read, str):
                reasons[name] = read
            else:
                reasons.pop(name, None)
                if held is not None:
                    held[position[name]] = read.image
        if reasons:
            first = min(reasons)
            raise UserError(
                f"{len(reasons)} of the {len(names)} pictures of {printable(self.place)} cannot "
                f"be read (the first: {printable(str(first))}: {reasons[first]}); {AGAIN}"
            )

    def decoded(
        self, names: Collection[PurePosixPath], preprocessing: Preprocessing
    ) -> Iterator[tuple[PurePosixPath, DecodedImage | str]]:
        """Each named picture as the model takes it, or the reason why it cannot be read.

        In the archive's own order, on threads, a few ahead; a name that is not there is passed
        over.
        """

        def read(
            item: tuple[PurePosixPath, bytes | str | None],
        ) -> tuple[PurePosixPath, DecodedImage | str]:
            name, content = item
            if isinstance(content, str):
                return name, content
            try:
                return name, read_decoded(self.place / name, preprocessing, content)
            except UnreadableImageError as error:
                return name, str(error)

        return in_order(read, self.contents(names))

    def contents(
        self, names: Collection[PurePosixPath]
    ) -> Iterator[tuple[PurePosixPath, bytes | str | None]]:
        """Each named file with its bytes, or with the reason (str) why there are none; with None in
        a folder, where whoever wants it reads it."""
        if self.place.is_dir():
            yield from ((name, None) for name in names)
            return
        for name, read in files_in_archive(self.place):
            if name in names:
                try:
                    content: bytes | str = read()
                except UNREADABLE as error:
                    content = f"damaged in the archive: {error}"
                yield name, content


def open_pack(place: Path) -> PicturePack:
    """The folder, zip or tar file with the names of its files.  Raises UserError for anything else
    and for a damaged archive."""
    names = _below(place) if place.is_dir() else {name for name, _ in files_in_archive(place)}
    return PicturePack(place, tuple(sorted(name for name in names if not _is_hidden(name))))


def read_unlabelled(place: Path, name: str, preprocessing: Preprocessing) -> Source:
    """Every picture of a pack, without classes.  Raises UserError where there is none, or where
    they lie in several folders."""
    pack = open_pack(place)
    pictures = pack.pictures()
    folders = sorted({str(picture.parent) for picture in pictures})
    if len(folders) != 1:
        found = (
            f"pictures in {len(folders)} folders ({printable(', '.join(folders[:3]))}, ...)"
            if folders
            else "no picture"
        )
        raise UserError(f"{printable(place)} has {found}; expected one folder of .png files")
    return Source(
        name, pack.pixels(pictures, preprocessing), np.full(len(pictures), OUT, dtype=np.int64)
    )


def read_classes(place: Path, name: str, preprocessing: Preprocessing) -> Source:
    """The pictures of a pack as ``<class>/<file>``, classes in the order of their letters.  Raises
    UserError for another layout."""
    pack = open_pack(place)
    pictures = pack.pictures()
    outside = [picture for picture in pictures if len(picture.parts) < 2]
    if outside or not pictures:
        found = (
            f"{len(outside)} pictures in no folder (the first: {printable(str(outside[0]))})"
            if outside
            else "no picture"
        )
        raise UserError(f"{printable(place)} has {found}; expected <class>/<name>.png")
    class_names = sorted({picture.parts[-2] for picture in pictures})
    label = {class_name: index for index, class_name in enumerate(class_names)}
    labels = np.array([label[picture.parts[-2]] for picture in pictures], dtype=np.int64)
    return Source(name, pack.pixels(pictures, preprocessing), labels, tuple(class_names))


def _below(folder: Path) -> set[PurePosixPath]:
    return {PurePosixPath(file.relative_to(folder).as_posix()) for file in list_files(folder)}


def _is_hidden(name: PurePosixPath) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in name.parts)
