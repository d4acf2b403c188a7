"""The traffic signs of Tsinghua-Tencent 100K, cut out: ``train/<class>/<frame>_<k>.png`` in a
folder, zip or tar file."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from knowbound.data.pictures.names import printable
from knowbound.data.pictures.picture_pack import PicturePack, open_pack
from knowbound.data.pictures.problems import Problem
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
    its file name up to the first "_".  Files that are no readable picture are named in ``problems``
    and left out.

    Args:
        path: the archive or the folder.
        part: of the set.
        preprocessing: how a crop becomes an image.

    Raises:
        UserError: ``path`` is neither an archive nor a folder, or has no picture of that part.
    """
    pack = _open(path)
    names = [n for n in pack.names if len(n.parts) >= 3 and n.parts[-3] in ("train", "test")]
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
    found = dict(pack.decoded(frozenset(wanted), preprocessing))
    for name in wanted:
        read = found.get(name, "it is not there")
        if isinstance(read, str):
            problems.append(Problem(path / name, f"not a readable picture ({read})", used=False))
        else:
            frame = name.stem.split("_")[0]
            crops.append(Crop(read.image, labels[name.parts[-2]], frame, read.size))
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
    """The training crops whose frame gives no crop to the test set.

    Args:
        train: training crops.
        test: test crops.

    Returns:
        Those that are left, and how many were taken away.
    """
    tested = np.concatenate([test.signs.frames, test.background.frames])
    signs, background = (
        crops.take(np.flatnonzero(~np.isin(crops.frames, tested)))
        for crops in (train.signs, train.background)
    )
    dropped = len(train.signs) + len(train.background) - len(signs) - len(background)
    return replace(train, signs=signs, background=background), dropped


def usable_classes(train_counts: Mapping[str, int], fewest: int = FEWEST) -> tuple[str, ...]:
    """The classes with enough training images (Section 4.2), without the catch-all io, po and wo.

    Args:
        train_counts: images of each class.
        fewest: that are enough.
    """
    return tuple(
        name for name, count in train_counts.items() if count >= fewest and name not in CATCH_ALL
    )


def _open(path: Path) -> PicturePack:
    if not path.exists():
        raise UserError(
            f"{printable(path)} does not exist; expected tt100k_crops.zip or the folder it was "
            "unpacked to"
        )
    return open_pack(path)
