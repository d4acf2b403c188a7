"""The traffic signs of Tsinghua-Tencent 100K, cut out: ``train/<class>/<frame>_<k>.png`` in a
folder or zip file."""

import io
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
from PIL import Image

from knowbound.data.pictures.folder import Problem
from knowbound.data.preprocessing import Preprocessing
from knowbound.data.signs.crops import Crop, Crops, collect_crops
from knowbound.errors import UserError
from knowbound.labels import OUT

Part = Literal["train", "test"]
NEGATIVE = "negative"  # the crops' own class of background patches
CATCH_ALL = (
    "io",
    "po",
    "wo",
)  # "other" information, prohibition and warning signs: many signs under one name
FEWEST = 10  # "we also discard classes with less than 10 images" (Section 4.2)
UNREADABLE = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    zipfile.BadZipFile,
    zlib.error,
    Image.DecompressionBombError,
)


@dataclass(frozen=True, eq=False)
class TsinghuaCrops:
    """One part of the data: signs with their classes, background patches without, and what could
    not be used."""

    signs: Crops
    background: Crops
    problems: tuple[Problem, ...] = ()


def read_tsinghua_crops(path: Path, part: Part, preprocessing: Preprocessing) -> TsinghuaCrops:
    """The crops of one part, read from the zip file itself or from the folder it was unpacked to.

    The class names are those of both parts in alphabetical order, so that a label means the same in
    each; the class ``negative`` becomes a source "Background" without classes.  A crop's frame is
    its file name up to the first "_". Files that are no readable picture are named in ``problems``
    and left out. Raises UserError where ``path`` is neither a zip file nor a folder, or has no
    picture of that part.
    """
    names = [name for name in _list_files(path) if name.parts[-3] in ("train", "test")]
    class_names = tuple(sorted({name.parts[-2] for name in names} - {NEGATIVE}))
    wanted = sorted(name for name in names if name.parts[-3] == part)
    if not wanted:
        raise UserError(
            f"{path} has no file {part}/<class>/<frame>_<k>.png; "
            "expected the cropped Tsinghua-Tencent 100K signs, as a zip file or as the folder it "
            "was unpacked to"
        )
    crops: list[Crop] = []
    problems: list[Problem] = []
    labels = {NEGATIVE: OUT} | {name: label for label, name in enumerate(class_names)}
    for name, content in _read_files(path, wanted):
        try:
            if isinstance(content, Exception):
                raise content
            with Image.open(io.BytesIO(content)) as picture:
                size, image = (picture.height, picture.width), preprocessing(picture)
        except UNREADABLE as error:
            problems.append(Problem(path / name, f"not a readable picture ({error})", used=False))
            continue
        crops.append(Crop(image, labels[name.parts[-2]], name.stem.split("_")[0], size))
    signs = collect_crops(
        [crop for crop in crops if crop.label != OUT],
        f"Tsinghua {part}",
        class_names,
        preprocessing,
    )
    background = collect_crops(
        [crop for crop in crops if crop.label == OUT], "Background", (), preprocessing
    )
    return TsinghuaCrops(signs, background, tuple(problems))


def drop_shared_frames(train: TsinghuaCrops, test: TsinghuaCrops) -> tuple[TsinghuaCrops, int]:
    """``train`` without the crops whose frame also gives a crop to ``test``, and how many crops
    that took away."""
    tested = np.concatenate([test.signs.frames, test.background.frames])
    signs, background = (
        crops.take(np.flatnonzero(~np.isin(crops.frames, tested)))
        for crops in (train.signs, train.background)
    )
    dropped = len(train.signs) + len(train.background) - len(signs) - len(background)
    return replace(train, signs=signs, background=background), dropped


def usable_classes(train_counts: Mapping[str, int], fewest: int = FEWEST) -> tuple[str, ...]:
    """The classes with at least ``fewest`` training images (Section 4.2), without the catch-all io,
    po and wo."""
    return tuple(
        name for name, count in train_counts.items() if count >= fewest and name not in CATCH_ALL
    )


def _list_files(path: Path) -> list[PurePosixPath]:
    """The files in three folders or more, relative to ``path``, without hidden ones and those an
    archiver adds."""
    if path.is_dir():
        names = [
            PurePosixPath(file.relative_to(path).as_posix())
            for file in path.glob("*/*/*")
            if file.is_file()
        ]
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names = [
                PurePosixPath(info.filename) for info in archive.infolist() if not info.is_dir()
            ]
    else:
        state = "is neither a folder nor a zip file" if path.exists() else "does not exist"
        raise UserError(
            f"{path} {state}; expected tt100k_crops.zip or the folder it was unpacked to"
        )
    visible = [
        name for name in names if not name.name.startswith(".") and "__MACOSX" not in name.parts
    ]
    return [name for name in visible if len(name.parts) >= 3]


def _read_files(
    path: Path, names: Sequence[PurePosixPath]
) -> Iterator[tuple[PurePosixPath, bytes | Exception]]:
    """Each file with its content, or with the reason why it could not be read."""
    archive = None if path.is_dir() else zipfile.ZipFile(path)
    try:
        for name in names:
            try:
                yield (
                    name,
                    (path / name).read_bytes() if archive is None else archive.read(str(name)),
                )
            except UNREADABLE as error:
                yield name, error
    finally:
        if archive is not None:
            archive.close()
