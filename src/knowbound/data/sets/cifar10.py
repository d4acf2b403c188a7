"""CIFAR-10's official python archive as a source, read without running what a pickle could run."""

import pickle
import tarfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import IO, Any, Literal

import numpy as np
from numpy.typing import NDArray

from knowbound.data.sets.download import Progress, RemoteFile, find_or_fetch, home
from knowbound.data.source import Source
from knowbound.errors import UserError
from knowbound.values import JsonObject

ARCHIVE = RemoteFile(
    "cifar-10-python.tar.gz",
    "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
    "md5:c58f30108f718f92721af3b95e74349a",
)
FOLDER = "cifar-10-batches-py"
META = "batches.meta"
AGAIN = "delete it and fetch the official archive with --download"
BATCHES: Mapping[str, tuple[str, ...]] = {
    "train": tuple(f"data_batch_{number}" for number in range(1, 6)),
    "test": ("test_batch",),
}
CLASS_NAMES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)


def read_cifar10(
    root: Path,
    part: Literal["train", "test"],
    *,
    download: bool = False,
    progress: Progress | None = None,
) -> Source:
    """Photographs of ten things, (N, 3, 32, 32) uint8 RGB; officially 50,000 train and 10,000 test
    images.

    Train is those of ``data_batch_1``..``data_batch_5`` that are there, in that order;
    ``present_batches`` names them.  Class names come from ``batches.meta``; the ten official ones
    where it is absent.

    Args:
        root: the folder ``cifar-10-batches-py``, a folder with it or with ``cifar10/`` in it, or
            the official ``cifar-10-python.tar.gz``.
        part: of the set.
        download: whether to fetch the archive into ``root/cifar10`` where nothing is found.
        progress: called while it is fetched.

    Raises:
        UserError: missing or damaged files, or a pickle that asks for anything but numbers and
            text.
    """
    place = _place(root, BATCHES[part], download, progress)
    contents = {
        name: _load(stream, f"{place}: {name}")
        for name, stream in _streams(place, (*BATCHES[part], META))
    }
    class_names = _class_names(contents, place)
    present = [name for name in BATCHES[part] if name in contents]
    if not present:
        raise UserError(
            f"{place} holds none of {', '.join(BATCHES[part])}; expected at least one; {AGAIN}"
        )
    batches = [_batch(contents[name], f"{place}: {name}", len(class_names)) for name in present]
    pixels = np.concatenate([images for images, _ in batches]).reshape(-1, 3, 32, 32)
    return Source(
        "CIFAR-10", pixels, np.concatenate([labels for _, labels in batches]), class_names
    )


def present_batches(root: Path) -> tuple[str, ...]:
    """The train files that ``read_cifar10`` reads, such as ("data_batch_1", "data_batch_2").

    Args:
        root: as there.

    Raises:
        UserError: there are none.
    """
    present = {
        name for name, _ in _streams(_place(root, BATCHES["train"], False, None), BATCHES["train"])
    }
    return tuple(name for name in BATCHES["train"] if name in present)


def _place(root: Path, wanted: Sequence[str], download: bool, progress: Progress | None) -> Path:
    """The folder with at least one of the wanted files, or the archive."""
    if root.is_file():
        return root
    folders = (root / FOLDER, root / "cifar10" / FOLDER, root / "cifar10", root)
    into = home(root, "cifar10")
    found = find_or_fetch(ARCHIVE, folders, into, also=wanted, download=download, progress=progress)
    return found if found.name == ARCHIVE.name else found.parent


def _streams(place: Path, wanted: Sequence[str]) -> Iterator[tuple[str, IO[bytes]]]:
    """Those of the wanted files that the folder or the archive has, each open until the next is
    asked for."""
    try:
        yield from _in_folder(place, wanted) if place.is_dir() else _in_archive(place, wanted)
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        problem = (
            "is not a whole tar archive"
            if isinstance(error, tarfile.TarError)
            else f"cannot be read ({error})"
        )
        raise UserError(f"{place} {problem}; {AGAIN}") from error


def _in_folder(place: Path, wanted: Sequence[str]) -> Iterator[tuple[str, IO[bytes]]]:
    for name in wanted:
        if (place / name).is_file():
            with (place / name).open("rb") as stream:
                yield name, stream


def _in_archive(place: Path, wanted: Sequence[str]) -> Iterator[tuple[str, IO[bytes]]]:
    with tarfile.open(
        place
    ) as archive:  # one pass: going back in a packed file means unpacking it again
        for member in archive:
            name = PurePosixPath(member.name).name
            content = archive.extractfile(member) if name in wanted and member.isreg() else None
            if content is not None:
                yield name, content


def _batch(content: Any, what: str, classes: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Images as rows of 3072 and labels of one batch, checked."""
    data, labels = (
        content.get(key) if isinstance(content, dict) else None for key in (b"data", b"labels")
    )
    images = data.array if isinstance(data, _Array) else None
    if (
        images is None
        or images.ndim != 2
        or images.shape[1] != 3072
        or not isinstance(labels, list)
    ):
        raise UserError(
            f"{what} is not a batch of CIFAR-10; expected 'data', rows of 3072 bytes, and "
            "'labels', a list"
        )
    if len(labels) != len(images) or not all(
        isinstance(label, int) and 0 <= label < classes for label in labels
    ):
        counts = f"{len(labels)} labels for {len(images)} images"
        raise UserError(f"{what} has {counts}; expected a label 0..{classes - 1} for each; {AGAIN}")
    return images, np.array(labels, dtype=np.int64)


def _class_names(contents: JsonObject, place: Path) -> tuple[str, ...]:
    if META not in contents:
        return CLASS_NAMES
    content = contents[META]
    names = content.get(b"label_names") if isinstance(content, dict) else None
    if (
        not isinstance(names, list)
        or not names
        or not all(isinstance(name, bytes) for name in names)
    ):
        raise UserError(
            f"{place}: {META} has no list 'label_names'; delete it to use the ten official names"
        )
    return tuple(name.decode("utf-8", "replace") for name in names)


def _load(stream: IO[bytes], what: str) -> Any:
    try:
        return _OfficialUnpickler(stream, what).load()
    except UserError:
        raise
    except Exception as error:  # a damaged pickle or archive may raise nearly anything
        raise UserError(f"{what} is damaged ({error}); {AGAIN}") from error


class _Array:
    """Stands for NumPy's array while unpickling: unsigned bytes with a shape, and no code of the
    file's choice."""

    array: NDArray[np.uint8] | None = None

    def __init__(self, *_: object) -> None: ...

    def __setstate__(self, state: tuple[int, tuple[int, ...], object, bool, bytes]) -> None:
        _, shape, _, fortran, content = state
        self.array = np.frombuffer(content, dtype=np.uint8).reshape(
            shape, order="F" if fortran else "C"
        )


class _Uint8:
    """Stands for NumPy's dtype while unpickling; the official files hold no other."""

    def __init__(self, code: str | bytes, *_: object) -> None:
        if code not in ("u1", b"u1"):
            raise ValueError(f"its numbers are {code!r}, not 'u1'")

    def __setstate__(self, _: object) -> None: ...


class _Latin1(bytes):
    """Stands for ``_codecs.encode``, with which Python 3 writes bytes into a pickle of Python 2's
    protocol."""

    def __new__(cls, text: str, _encoding: str) -> "_Latin1":
        return super().__new__(cls, text.encode("latin1"))


_STAND_INS: Mapping[tuple[str, str], type] = {
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Uint8,
    ("_codecs", "encode"): _Latin1,
}


class _OfficialUnpickler(pickle.Unpickler):
    """Reads numbers, text, lists, dicts and byte arrays.  Every global becomes a class of this file
    or is refused."""

    def __init__(self, stream: IO[bytes], what: str) -> None:
        super().__init__(stream, encoding="bytes")
        self._what = what

    def find_class(self, module: str, name: str) -> type:
        """The stand-in for a global that the official files use.  Raises UserError for any
        other."""
        if (module, name) not in _STAND_INS:
            raise UserError(
                f"{self._what} asks to run {module}.{name}, which no official file does; "
                f"knowbound refuses to read it: {AGAIN}"
            )
        return _STAND_INS[module, name]
