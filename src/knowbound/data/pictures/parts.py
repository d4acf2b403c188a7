"""Parts of the pictures to judge: some files, an archive or a piece of one, rows of a Parquet file.

A part is what is judged, written and kept together, so its pictures and their order follow from the
input alone.  Nothing is decoded here, and of a part a few pictures are in memory at a time.
"""

import zipfile
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Protocol, TypeVar

from knowbound.data.parquet import picture_groups, read_pictures
from knowbound.data.pictures.archives import UNREADABLE, files_in_archive, zip_member
from knowbound.data.pictures.list_file import SUFFIXES
from knowbound.data.pictures.names import printable
from knowbound.data.pictures.picture_files import Given
from knowbound.data.pictures.system_files import is_skipped
from knowbound.errors import UserError

PART = 1024
"""Pictures of a part, where the input can be divided."""
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
"""Endings of archives."""
PARQUET = (".parquet", ".pq")
"""Endings of Parquet files."""
WAITING = 16
"""Files of one WebDataset sample that wait for its picture."""
T = TypeVar("T")


class Part(Protocol):
    """Pictures that are judged, written and kept together."""

    @property
    def count(self) -> int | None:
        """How many pictures, where that is known before they are read."""

    @property
    def words(self) -> tuple[str, ...]:
        """What tells this part from others, for comparing an input with the one of a run that was
        cut off."""

    def pictures(self) -> Iterator[Given]:
        """The pictures, in order."""


@dataclass(frozen=True)
class Files:
    """Files of their own."""

    paths: tuple[Path, ...]

    @property
    def count(self) -> int | None:
        """The number of files."""
        return len(self.paths)

    @property
    def words(self) -> tuple[str, ...]:
        """The paths."""
        return tuple(map(str, self.paths))

    def pictures(self) -> Iterator[Given]:
        """The files, which are opened by whoever reads them."""
        return map(Given, self.paths)


@dataclass(frozen=True)
class Archive:
    """The pictures of a zip or tar file, or some of a zip file.

    A WebDataset shard is a tar file in which files of one name and several endings belong together:
    of these the pictures count, and what is said of them (.cls, .json) is passed over.

    Args:
        place: of the archive.
        first: position of the first picture.
        count: how many there are; None for all that follow.
    """

    place: Path
    first: int = 0
    count: int | None = None

    @property
    def words(self) -> tuple[str, ...]:
        """Place, size, time of change and positions."""
        return *_state(self.place), str(self.first), str(self.count)

    def pictures(self) -> Iterator[Given]:
        """The pictures in the archive's own order; one that is damaged ends with a problem."""
        number = 0
        try:
            for given in self._whole() if self.count is None else self._piece(self.count):
                number += 1
                yield given
            if not number:
                yield Given(self.place, problem="an archive without files")
        except UserError as error:
            yield Given(self.place, problem=_without(self.place, error))
        except UNREADABLE as error:
            yield Given(self.place, problem=f"is not a whole archive ({error}); fetch it again")

    def _whole(self) -> Iterator[Given]:
        files = ((name, partial(_read, read)) for name, read in files_in_archive(self.place))
        for name, (content, problem) in sampled(files):
            yield Given(_below(self.place, name), content, problem)

    def _piece(self, count: int) -> Iterator[Given]:
        with zipfile.ZipFile(self.place) as archive:
            for info in _zip_pictures(archive)[self.first : self.first + count]:
                content, problem = _read(partial(zip_member, archive, info))
                yield Given(_below(self.place, info.filename), content, problem)


@dataclass(frozen=True)
class Rows:
    """Pictures in some row groups of a Parquet file.

    Args:
        place: of the file.
        column: that holds the pictures.
        groups: positions of the row groups.
        first: number of the first row in the file.
        count: how many rows.
    """

    place: Path
    column: str
    groups: tuple[int, ...]
    first: int
    count: int | None

    @property
    def words(self) -> tuple[str, ...]:
        """Place, size, time of change, column and positions."""
        return *_state(self.place), self.column, *map(str, (self.first, self.count))

    def pictures(self) -> Iterator[Given]:
        """The pictures in order; a file that is damaged ends with a problem."""
        number = self.first
        try:
            for content in read_pictures(self.place, self.column, self.groups):
                empty = "" if content is not None else f"no bytes in the column {self.column}"
                yield Given(self.place / str(number), content, empty)
                number += 1
        except UserError as error:
            yield Given(self.place, problem=_without(self.place, error))


@dataclass(frozen=True)
class Unusable:
    """A file that holds no pictures after all.

    Args:
        place: of the file.
        problem: why.
    """

    place: Path
    problem: str

    @property
    def count(self) -> int | None:
        """One row, which says why."""
        return 1

    @property
    def words(self) -> tuple[str, ...]:
        """Place, size and time of change."""
        return _state(self.place)

    def pictures(self) -> Iterator[Given]:
        """The problem."""
        yield Given(self.place, problem=self.problem)


def divide(
    files: Iterable[Path], image_column: str | None = None, named: Collection[Path] = ()
) -> Iterator[Part]:
    """The parts of these files, in order: archives and Parquet files each on their own, all others
    up to ``PART`` together.

    Args:
        files: pictures, archives and Parquet files.
        image_column: of Parquet files; None to find it.
        named: those that were named one by one, not found in a folder.

    Raises:
        UserError: a Parquet file that was named and has no column of pictures, or without pyarrow
            to read it.
    """
    loose: list[Path] = []
    for path in files:
        name = path.name.lower()
        inside: Sequence[Part] = ()
        if name.endswith(ARCHIVES):
            inside = _archive(path)
        elif name.endswith(PARQUET):
            inside = _rows(path, image_column, path in named)
        else:
            loose.append(path)
        if loose and (inside or len(loose) == PART):
            yield Files(tuple(loose))
            loose = []
        yield from inside
    if loose:
        yield Files(tuple(loose))


def sampled(
    files: Iterable[tuple[PurePosixPath, Callable[[], T]]],
) -> Iterator[tuple[PurePosixPath, T]]:
    """The pictures among the files of an archive, each with what its function gives.

    Of neighbouring files that share their name up to the first dot, as in WebDataset shards, those
    that end as pictures do; of others, all.  Hidden files and what system programs leave are passed
    over.

    Args:
        files: each name, and a function that is called, if at all, before the next file is asked
            for.
    """
    key, has_picture = "", False
    waiting: list[tuple[PurePosixPath, T]] = []
    for name, read in files:
        if any(map(is_skipped, name.parts)):
            continue
        if _key(name) != key:
            yield from waiting
            key, has_picture, waiting = _key(name), False, []
        if _is_picture(name):
            has_picture, waiting = True, []
            yield name, read()
        elif not has_picture:
            waiting.append((name, read()))
            if len(waiting) > WAITING:
                yield from waiting
                waiting = []
    yield from waiting


def _read(read: Callable[[], bytes]) -> tuple[bytes | None, str]:
    try:
        return read(), ""
    except UNREADABLE as error:
        return None, f"damaged in the archive: {error}"


def _without(place: Path, error: UserError) -> str:
    """The sentence without the place at its beginning, which is in a column of its own."""
    return str(error).removeprefix(f"{printable(place)} ").removeprefix(f"{place} ")


def _below(place: Path, name: PurePosixPath | str) -> Path:
    """The path of a file in an archive, whose own name may begin with a slash."""
    return Path(f"{place}/{name}")


def _key(name: PurePosixPath) -> str:
    return str(name.parent / name.name.partition(".")[0])


def _is_picture(name: PurePosixPath) -> bool:
    return name.suffix.lower() in SUFFIXES


def _zip_pictures(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """What is known of the pictures of a zip file, in its own order."""
    files = [info for info in archive.infolist() if not info.is_dir()]
    named = ((PurePosixPath(info.filename), lambda info=info: info) for info in files)
    return [info for _, info in sampled(named)]


def _archive(path: Path) -> Sequence[Part]:
    """A zip file in pieces, each of which can be read by itself; of anything else the whole."""
    if not path.name.lower().endswith(".zip"):
        return [Archive(path)]
    try:
        with zipfile.ZipFile(path) as archive:
            count = len(_zip_pictures(archive))
    except UNREADABLE:  # said where it is read
        return [Archive(path)]
    firsts = range(0, max(1, count), PART)
    return [Archive(path, first, min(PART, count - first)) for first in firsts]


def _rows(path: Path, image_column: str | None, is_named: bool) -> Sequence[Part]:
    try:
        column, sizes = picture_groups(path, image_column)
    except UserError as error:
        if is_named:
            raise
        return [Unusable(path, _without(path, error))]
    parts: list[Part] = []
    groups: list[int] = []
    first = rows = 0
    for group, size in enumerate(sizes):
        groups.append(group)
        rows += size
        if rows >= PART or group == len(sizes) - 1:
            parts.append(Rows(path, column, tuple(groups), first, rows))
            groups, first, rows = [], first + rows, 0
    return parts if first else [Unusable(path, "a Parquet file without rows")]


def _state(path: Path) -> tuple[str, str, str]:
    try:
        status = path.stat()
    except OSError:
        return str(path), "", ""
    return str(path), str(status.st_size), str(status.st_mtime_ns)
