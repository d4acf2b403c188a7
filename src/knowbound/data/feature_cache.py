"""Features of frozen networks kept on disk, by what the picture holds and what the network is.

It knows no network: it takes keys and a function that computes rows.  What is kept has the form of
``feature_records``.
"""

import contextlib
import hashlib
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knowbound.data.feature_records import (
    HEADER,
    KEY,
    FileEnd,
    MemoryEnd,
    checksum,
    open_records,
    to_records,
    width_of,
)
from knowbound.data.sets.download import user_cache
from knowbound.data.source import LazyPixels, Source
from knowbound.files import remove_kept
from knowbound.values import Array

Rows = NDArray[np.float32]
Compute = Callable[[NDArray[np.int64]], Rows]
"""From positions in the list of pictures to the rows (B, F) of the pictures there."""
OnRow = Callable[[int, int], None]
"""Called with the number of rows there are so far, and of all."""

LOCATION = "KNOWBOUND_CACHE"
"""The environment variable that names another folder."""
LIMIT = 4 << 30
"""Bytes that all networks together may take."""
BATCH = 64
"""Rows computed and written at once: what a killed process loses at most."""
NETWORK = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")


def cache_folder() -> Path:
    """Where features are kept: ``$KNOWBOUND_CACHE``, else the user's cache folder."""
    named = os.environ.get(LOCATION)
    return Path(named) if named else user_cache()


def pixel_keys(source: Source) -> list[bytes]:
    """The key of every image of a source: a hash of its pixels and shape."""
    kind = repr((source.image_shape, str(np.dtype(source.pixels.dtype)))).encode()
    keys: list[bytes] = []
    for start in range(0, len(source), BATCH):
        images = source.images(slice(start, start + BATCH))
        keys += [hashlib.sha256(kind + image.tobytes()).digest() for image in images]
    return keys


@dataclass(frozen=True, eq=False)
class Features(LazyPixels):
    """The ``Pixels`` of a Source whose images are features: (N, 1, 1, F) float32, read from the
    cache when asked for.

    remarks: what the user should know of the cache, a sentence each.
    computed: how many rows were not in the cache before.
    """

    files: Sequence[Array]
    file_of: NDArray[np.int64]
    record_of: NDArray[np.int64]
    width: int
    computed: int = 0
    remarks: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, 1, 1, F)."""
        return len(self.file_of), 1, 1, self.width

    @property
    def dtype(self) -> np.dtype[np.float32]:
        """float32."""
        return np.dtype(np.float32)

    def __len__(self) -> int:
        return len(self.file_of)

    def rows(self, indices: Any = slice(None)) -> Rows:
        """The rows at ``indices`` (integers, a slice or a mask): (B, F)."""
        files, records = np.ravel(self.file_of[indices]), np.ravel(self.record_of[indices])
        out = np.empty((len(files), self.width), dtype=np.float32)
        for number in np.unique(files):
            here = np.flatnonzero(files == number)
            out[here] = self.files[number]["row"][records[here]]
        return out

    def __getitem__(self, indices: Any, /) -> Rows:
        """The rows at ``indices`` as images: (B, 1, 1, F), or (1, 1, F) for one integer."""
        return self.rows(indices).reshape(*np.shape(self.file_of[indices]), 1, 1, self.width)

    def subset(self, indices: NDArray[np.int64]) -> "Features":
        """Some of the pictures, unread."""
        return replace(
            self, file_of=self.file_of[indices], record_of=self.record_of[indices], remarks=()
        )


@dataclass(frozen=True)
class Usage:
    """What a network's features take: rows, bytes, and when they were last used (seconds since
    1970)."""

    network: str
    rows: int
    size: int
    used: float


@dataclass(frozen=True)
class FeatureCache:
    """Rows of numbers on disk, for pictures and frozen networks.

    Two processes may use it at once.  Where all networks together take more than ``limit`` bytes,
    the files used least recently are removed.

    Args:
        folder: made where it is missing.
        limit: in bytes.
    """

    folder: Path = field(default_factory=lambda: cache_folder() / "features")
    limit: int = LIMIT

    def features_of(
        self,
        network: str,
        pictures: Sequence[bytes],
        compute: Compute,
        on_row: OnRow | None = None,
    ) -> Features:
        """The rows of all pictures; those that are not in the cache are computed and put there.

        Rows are kept as float16, or as float32 where float16 cannot hold them.  The rows returned
        are those that are kept, so that a second call gives the same numbers.

        Args:
            network: a name, such as "efficientnet_lite-lite0-96-3f2a...", that differs wherever the
                weights, the size of the images or anything else that changes the rows does.
            pictures: N keys of 32 bytes, as ``pixel_keys`` gives them.
            compute: called with the positions of at most 64 pictures at a time.
            on_row: called as rows are found and computed.

        Raises:
            ValueError: a name that cannot be that of a folder, keys of another length, or computed
                rows of different widths.
        """
        if not NETWORK.fullmatch(network):
            raise ValueError(f"the network {network!r} cannot name a folder; use letters and -_.")
        if wrong := {len(key) for key in pictures} - {KEY}:
            raise ValueError(f"keys of {sorted(wrong)} bytes were given; expected {KEY} bytes")
        found = _Found(self.folder / network, set(pictures))
        missing = found.missing(pictures)
        writer = _Writer(self.folder / network, found)
        with contextlib.closing(writer):
            done = len(pictures) - len(missing)
            for start in range(0, len(missing), BATCH):
                if on_row is not None:
                    on_row(done + start, len(pictures))
                positions = missing[start : start + BATCH]
                writer.write([pictures[position] for position in positions], compute(positions))
        self._make_room(found.used)
        if on_row is not None:
            on_row(len(pictures), len(pictures))
        return found.features(pictures, computed=len(missing))

    def usage(self) -> list[Usage]:
        """What every network takes, the one used last first."""
        found = []
        for folder in self._networks():
            files = [(path, _stat(path)) for path in folder.glob("*.rows")]
            sizes = [(path, stat.st_size, stat.st_mtime) for path, stat in files if stat]
            if sizes:
                opened = [open_records(path) for path, *_ in sizes]
                rows = sum(len(records) for records in opened if records is not None)
                _, taken, times = zip(*sizes, strict=True)
                found.append(Usage(folder.name, rows, sum(taken), max(times)))
        return sorted(found, key=lambda usage: -usage.used)

    def empty(self) -> int:
        """Remove everything; how many bytes that freed.

        Raises:
            UserError: a file cannot be removed.
        """
        freed = 0
        for folder in self._networks():
            freed += remove_kept(folder.glob("*.rows"))
            with contextlib.suppress(OSError):  # another process may have begun a file
                folder.rmdir()
        return freed

    def _networks(self) -> list[Path]:
        if not self.folder.is_dir():
            return []
        return sorted(path for path in self.folder.iterdir() if path.is_dir())

    def _make_room(self, used: set[Path]) -> None:
        """Remove files, the least recently used first, until the limit is kept."""
        paths = [path for folder in self._networks() for path in folder.glob("*.rows")]
        stats = [
            (path in used, stat.st_mtime, stat.st_size, path)
            for path in paths
            if (stat := _stat(path))
        ]
        too_much = sum(size for *_, size, _ in stats) - self.limit
        for *_, size, path in sorted(stats):
            if too_much <= 0:
                return
            with contextlib.suppress(OSError):  # in use, on a system that forbids it then
                path.unlink()
                too_much -= size


class _Found:
    """Where the rows of the wanted pictures are."""

    def __init__(self, folder: Path, wanted: set[bytes]) -> None:
        self.files: list[Array] = []
        self.places: dict[bytes, tuple[int, int]] = {}
        self.width: int | None = None
        self.used: set[Path] = set()
        self.remarks: list[str] = []
        damaged: set[bytes] = set()
        for path in sorted(folder.glob("*.rows")) if wanted else ():
            records = open_records(path)
            if records is None:
                self._remove(path)
            elif width_of(records) == (self.width or width_of(records)):
                damaged |= self._add(path, records, wanted)
        if again := damaged - self.places.keys():
            self.remarks.append(
                f"the features of {len(again)} pictures in {folder} were damaged and are computed "
                "again"
            )

    def _add(self, path: Path, records: Array, wanted: set[bytes]) -> set[bytes]:
        """Note the wanted rows of a file; the keys of those that are damaged."""
        before, damaged = len(self.places), set()
        for index, picture in enumerate(records["picture"]):
            key = picture.tobytes()
            if key in wanted and key not in self.places:
                if checksum(key, records[index]["row"]) == records[index]["checksum"]:
                    self.places[key] = (len(self.files), index)
                else:
                    damaged.add(key)
        if len(self.places) > before:
            self.files.append(records)
            self.used.add(path)
            self.width = width_of(records)
            with contextlib.suppress(OSError):  # used now; another process may have removed it
                os.utime(path)
        return damaged

    def _remove(self, path: Path) -> None:
        """Remove a file without a header, unless another process has only just begun it."""
        with contextlib.suppress(OSError):
            if path.stat().st_size >= HEADER:
                path.unlink()
                self.remarks.append(
                    f"{path} was damaged and was removed; its features are computed again"
                )

    def missing(self, pictures: Sequence[bytes]) -> NDArray[np.int64]:
        """Positions of the pictures without a row, each picture once."""
        first = {key: position for position, key in reversed(list(enumerate(pictures)))}
        lacking = [position for key, position in first.items() if key not in self.places]
        return np.sort(np.array(lacking, dtype=np.int64))

    def features(self, pictures: Sequence[bytes], computed: int) -> Features:
        """The rows of all pictures."""
        places = np.array([self.places[key] for key in pictures], dtype=np.int64).reshape(-1, 2)
        files, records = places[:, 0], places[:, 1]
        return Features(self.files, files, records, self.width or 0, computed, tuple(self.remarks))


class _Writer:
    """Keeps computed rows: at the end of a file, or in memory where none can be written."""

    def __init__(self, folder: Path, found: _Found) -> None:
        self.folder, self.found = folder, found
        self.end: FileEnd | MemoryEnd | None = None
        self.writable = True

    def write(self, pictures: Sequence[bytes], rows: Rows) -> None:
        """Keep the rows (B, F) of the pictures.

        Raises:
            ValueError: rows of another shape than those before.
        """
        width = self.found.width or np.shape(rows)[-1]
        if np.shape(rows) != (len(pictures), width):
            raise ValueError(
                f"rows of shape {np.shape(rows)} were computed; expected ({len(pictures)}, {width})"
            )
        self.found.width = width
        records = to_records(pictures, rows)
        try:
            first = self._append(records)
        except OSError as error:
            self._give_up(error)
            first = self._append(records)
        for index, picture in enumerate(pictures, start=first):
            self.found.places[picture] = (len(self.found.files), index)

    def _append(self, records: Array) -> int:
        """Keep the records; the position of the first."""
        if self.end is None or self.end.kind != records.dtype or self.end.full():
            self.close()
            kind = records.dtype
            self.end = FileEnd(self.folder, kind) if self.writable else MemoryEnd(kind)
        first = self.end.count
        self.end.append(records)
        return first

    def _give_up(self, error: OSError) -> None:
        self.close()
        self.writable = False
        self.found.remarks.append(
            f"features cannot be kept in {self.folder} ({(error.strerror or str(error)).lower()}); "
            f"free some space, or name another folder in {LOCATION}"
        )

    def close(self) -> None:
        """Let other processes append to the file, and its rows be read."""
        if self.end is not None:
            self.found.files.append(self.end.close())
            if isinstance(self.end, FileEnd):
                self.found.used.add(self.end.path)
        self.end = None


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None
