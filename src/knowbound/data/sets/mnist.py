"""MNIST's official files (idx, gzipped or not) as a source."""

import gzip
import math
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from knowbound.data.sets.download import Progress, RemoteFile, find_or_fetch, home
from knowbound.data.source import Source
from knowbound.errors import UserError

MIRROR = "https://ossci-datasets.s3.amazonaws.com/mnist/"
CLASS_NAMES = tuple("0123456789")
AGAIN = "delete it and fetch it again with --download"
IMAGES_MAGIC, LABELS_MAGIC = 0x0803, 0x0801  # unsigned bytes of three dimensions and of one


def _official(name: str, md5: str) -> RemoteFile:
    return RemoteFile(name, MIRROR + name, f"md5:{md5}")


FILES: Mapping[str, tuple[RemoteFile, RemoteFile]] = {
    "train": (
        _official("train-images-idx3-ubyte.gz", "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
        _official("train-labels-idx1-ubyte.gz", "d53e105ee54ea40749a09fcbcd1e9432"),
    ),
    "test": (
        _official("t10k-images-idx3-ubyte.gz", "9fb629c4189551a2d022fa330f9573f3"),
        _official("t10k-labels-idx1-ubyte.gz", "ec29112dd5afa0611ce80d1b7f02629c"),
    ),
}
"""Images and labels of each part."""


def read_mnist(
    root: Path,
    part: Literal["train", "test"],
    *,
    download: bool = False,
    progress: Progress | None = None,
) -> Source:
    """Handwritten digits, (N, 1, 28, 28) uint8, class names "0".."9"; officially 60,000 train and
    10,000 test images.

    Args:
        root: the folder of the four official files, packed or unpacked, or a folder with ``mnist/``
            or ``MNIST/raw/`` in it.
        part: of the set.
        download: whether to fetch missing files into ``root/mnist``.
        progress: called while they are fetched.

    Raises:
        UserError: a file is missing, cut short, or not in the idx format.
    """
    folders = (root / "mnist", root, root / "MNIST" / "raw")
    into = home(root, "mnist")
    images_path, labels_path = (
        find_or_fetch(
            file,
            folders,
            into,
            also=(file.name.removesuffix(".gz"),),
            download=download,
            progress=progress,
        )
        for file in FILES[part]
    )
    images = _read_idx(images_path, IMAGES_MAGIC, (28, 28))
    labels = _read_idx(labels_path, LABELS_MAGIC, ())
    if len(images) != len(labels):
        both = f"{images_path} has {len(images)} images and {labels_path} {len(labels)} labels"
        raise UserError(f"{both}; expected as many, so take both from one set")
    if labels.size and labels.max() >= len(CLASS_NAMES):
        raise UserError(f"{labels_path} holds the label {labels.max()}; expected 0..9, as in MNIST")
    return Source("MNIST", images[:, None], labels.astype(np.int64), CLASS_NAMES)


def _read_idx(path: Path, magic: int, item: tuple[int, ...]) -> NDArray[np.uint8]:
    """The items of one idx file, (count, *item), after its big-endian header of magic number, count
    and item sizes."""
    content = _unpacked(path)
    start = 8 + 4 * len(item)
    header = [int.from_bytes(content[at : at + 4], "big") for at in range(0, start, 4)]
    if len(content) < start or header[0] != magic or header[2:] != list(item):
        expected = [magic, "count", *item]
        raise UserError(
            f"{path} starts with the numbers {header}; expected those of MNIST, {expected}; {AGAIN}"
        )
    found, announced = len(content) - start, header[1] * math.prod(item)
    if found != announced:
        raise UserError(
            f"{path} announces {announced} bytes after its header and has {found}; {AGAIN}"
        )
    return np.frombuffer(bytearray(content[start:]), dtype=np.uint8).reshape(-1, *item)


def _unpacked(path: Path) -> bytes:
    try:
        content = path.read_bytes()
        # Judged by content, as some browsers unpack a ".gz" and leave its name.
        return gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path} cannot be read ({error}); {AGAIN}") from error
