"""SVHN's official cropped digits (.mat) as a source."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np

from knowbound.data.sets.download import Progress, RemoteFile, find_or_fetch, home
from knowbound.data.source import Source
from knowbound.errors import UserError
from knowbound.values import JsonObject

SITE = "http://ufldl.stanford.edu/housenumbers/"


def _official(part: str, md5: str) -> RemoteFile:
    return RemoteFile(f"{part}_32x32.mat", f"{SITE}{part}_32x32.mat", f"md5:{md5}")


FILES: Mapping[str, RemoteFile] = {
    "train": _official("train", "e26dedcc434d2e4c54c9b2d4a06d8373"),
    "test": _official("test", "eb5a983be6a315427106f1b164d9cef3"),
    "extra": _official("extra", "a93ce644f1a588dc4d68dda5feec44a7"),
}


def read_svhn(
    root: Path,
    part: Literal["train", "test", "extra"],
    *,
    download: bool = False,
    progress: Progress | None = None,
) -> Source:
    """House numbers photographed from the street, one digit in each centre, (N, 3, 32, 32) uint8,
    class names "0".."9".

    Officially 73,257 train, 26,032 test and 531,131 extra images.  The files write digit 0 as label
    10; here it is 0.

    Args:
        root: the folder of the official ``train_32x32.mat``, ``test_32x32.mat`` and
            ``extra_32x32.mat``, or a folder with ``svhn/`` in it.
        part: of the set.
        download: whether to fetch a missing file into ``root/svhn``.
        progress: called while it is fetched.

    Raises:
        UserError: a file is missing, cut short, or holds something else.
    """
    into = home(root, "svhn")
    path = find_or_fetch(
        FILES[part], (root / "svhn", root), into, download=download, progress=progress
    )
    content = _load(path)
    images, labels = content.get("X"), content.get("y")
    if (
        images is None
        or labels is None
        or images.dtype != np.uint8
        or images.shape[:3] != (32, 32, 3)
    ):
        raise UserError(
            f"{path} is not a file of SVHN's cropped digits; expected uint8 'X' of 32 x 32 x 3 x "
            "N and 'y'"
        )
    images = images.reshape(32, 32, 3, -1)  # MATLAB drops the last axis of a single image
    if labels.size != images.shape[3] or not np.isin(labels, np.arange(1, 11)).all():
        raise UserError(
            f"{path} has {labels.size} labels for {images.shape[3]} images; expected one of 1..10 "
            "for each"
        )
    pixels = np.ascontiguousarray(images.transpose(3, 2, 0, 1))
    return Source("SVHN", pixels, labels.reshape(-1).astype(np.int64) % 10, tuple("0123456789"))


def _load(path: Path) -> JsonObject:
    from scipy.io import loadmat

    try:
        return dict(loadmat(path, variable_names=("X", "y")))
    except Exception as error:  # a damaged file may raise nearly anything
        raise UserError(
            f"{path} cannot be read ({error}); delete it and fetch it again with --download"
        ) from error
