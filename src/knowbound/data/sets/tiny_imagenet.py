"""Tiny ImageNet as a source: the official pictures, the files the authors of ODIN made of them, or
a sample at 32 x 32."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np

from knowbound.data.pictures.names import printable
from knowbound.data.pictures.picture_pack import (
    PicturePack,
    find_pack,
    open_pack,
    read_classes,
    read_unlabelled,
)
from knowbound.data.preprocessing import Preprocessing
from knowbound.data.source import Source
from knowbound.errors import UserError
from knowbound.labels import OUT

Part = Literal["resize", "crop", "test", "val", "train", "sample"]
OFFICIAL = "tiny-imagenet-200"
NAMES: Mapping[Part, tuple[str, str]] = {
    "resize": ("Imagenet_resize", "Tiny ImageNet (resize)"),
    "crop": ("Imagenet", "Tiny ImageNet (crop)"),
    "test": (OFFICIAL, "Tiny ImageNet"),
    "val": (OFFICIAL, "Tiny ImageNet"),
    "train": (OFFICIAL, "Tiny ImageNet"),
    "sample": ("tinyimagenet_val_32x32", "Tiny ImageNet (validation sample)"),
}
"""Each part: what its archive or folder is called, and the name of its source."""
FOLDERS = ("tiny_imagenet", "tinyimagenet")
PAGES = "http://cs231n.stanford.edu/tiny-imagenet-200.zip, resize and crop at https://github.com/facebookresearch/odin"
LAYOUT = {
    "train": "train/<id>/images/*.JPEG",
    "val": "val/images/*.JPEG",
    "test": "test/images/*.JPEG",
}


def read_tiny_imagenet(root: Path, part: Part, preprocessing: Preprocessing) -> Source:
    """Photographs of 200 kinds of things, resized by ``preprocessing``; what ``part`` names:

    - "train" (100,000), "val" (10,000), "test" (10,000, without classes) of the official
      ``tiny-imagenet-200``, 64 x 64 before;
    - "resize", "crop": the 10,000 test pictures as the authors of ODIN gave them out, in
      ``Imagenet_resize`` and ``Imagenet``, 32 x 32, without classes.  Table 1 of Lee et al. (ICLR
      2018) is measured on "resize", whose shrinking left artefacts that make its pictures easy to
      tell from others;
    - "sample": pictures of the validation set at 32 x 32, as ``tinyimagenet_val_32x32`` with
      ``<id>/<name>.png``.

    Classes are in the order of their WordNet ids, and are called by the first word of
    ``words.txt``, with the id where two have the same; in "sample" by the id.  Images are in the
    order of their paths' letters.

    Args:
        root: the set's folder or archive (.zip, .tar, .tar.gz), or a folder with it or with
            ``tiny_imagenet/`` in it.
        part: of the set.
        preprocessing: how a picture becomes an image.

    Raises:
        UserError: the set is missing, incomplete, of another layout, or has pictures that cannot
            be read.
    """
    place, name = _place(root, part), NAMES[part][1]
    if place is None:
        raise UserError(
            f"{NAMES[part][0]} was not found in {printable(root)}; give the folder that holds it, "
            f"fetched from {PAGES}"
        )
    if part in ("resize", "crop"):
        return read_unlabelled(place, name, preprocessing)
    return (
        read_classes(place, name, preprocessing)
        if part == "sample"
        else _read_official(open_pack(place), part, preprocessing)
    )


def present_parts(root: Path) -> tuple[Part, ...]:
    """The parts whose archive or folder is there, first those that Table 1 is measured on.  Nothing
    is opened.

    Args:
        root: as in ``read_tiny_imagenet``.
    """
    return tuple(part for part in NAMES if _place(root, part))


def _place(root: Path, part: Part) -> Path | None:
    if NAMES[part][0] == OFFICIAL and (root / "wnids.txt").is_file():
        return root
    return find_pack(root, FOLDERS, NAMES[part][0])


def _read_official(pack: PicturePack, part: Part, preprocessing: Preprocessing) -> Source:
    lists = [name for name in pack.names if name.name == "wnids.txt"]
    if not lists:
        raise UserError(
            f"{printable(pack.place)} has no wnids.txt; expected the official {OFFICIAL}, from "
            f"{PAGES}"
        )
    base = lists[0].parent
    ids = sorted(set(pack.text(lists[0]).split()))
    below = {
        picture: picture.relative_to(base).parts
        for picture in pack.pictures()
        if picture.is_relative_to(base)
    }
    depth = 4 if part == "train" else 3
    pictures = [
        p
        for p, parts in below.items()
        if len(parts) == depth and (parts[0], parts[-2]) == (part, "images")
    ]
    if not pictures:
        raise UserError(
            f"{printable(pack.place)} has no picture {LAYOUT[part]}; expected the official "
            f"{OFFICIAL}, from {PAGES}"
        )
    if part == "test":
        return Source(
            NAMES[part][1],
            pack.pixels(pictures, preprocessing),
            np.full(len(pictures), OUT, dtype=np.int64),
        )
    class_ids = (
        {picture: picture.parts[-3] for picture in pictures}
        if part == "train"
        else _annotations(pack, base / "val")
    )
    _check_complete(pack.place, part, pictures, class_ids, ids)
    label = {class_id: index for index, class_id in enumerate(ids)}
    labels = np.array([label[class_ids[picture]] for picture in pictures], dtype=np.int64)
    return Source(
        NAMES[part][1], pack.pixels(pictures, preprocessing), labels, _class_names(pack, base, ids)
    )


def _annotations(pack: PicturePack, folder: PurePosixPath) -> dict[PurePosixPath, str]:
    """The id of each picture that a line of ``val_annotations.txt`` names: file, id and a box, with
    tabs between."""
    lines = [line.split("\t") for line in pack.text(folder / "val_annotations.txt").splitlines()]
    return {folder / "images" / fields[0]: fields[1] for fields in lines if len(fields) > 1}


def _check_complete(
    place: Path,
    part: Part,
    pictures: list[PurePosixPath],
    class_ids: Mapping[PurePosixPath, str],
    ids: list[str],
) -> None:
    """Raises UserError that counts what does not fit together, and names the first."""
    known, there = set(ids), set(pictures)
    wrong = {
        "pictures without a class": [str(p) for p in pictures if p not in class_ids],
        "pictures of val_annotations.txt that are not there": [
            str(p) for p in class_ids if p not in there
        ],
        "classes that wnids.txt does not have": sorted(set(class_ids.values()) - known),
        "classes of wnids.txt without a picture": sorted(
            known - {class_ids.get(p) for p in pictures}
        ),
    }
    for what, found in wrong.items():
        if found:
            raise UserError(
                f"{part} of {printable(place)} has {len(found)} {what} (the first: "
                f"{printable(found[0])}); unpack it again whole"
            )


def _class_names(pack: PicturePack, base: PurePosixPath, ids: list[str]) -> tuple[str, ...]:
    if base / "words.txt" not in pack.names:
        return tuple(ids)
    lines = (line.partition("\t") for line in pack.text(base / "words.txt").splitlines())
    words = {class_id: text.split(",")[0].strip() for class_id, _, text in lines}
    names = [words.get(class_id) or class_id for class_id in ids]
    often = Counter(names)
    return tuple(
        name if often[name] == 1 else f"{name} ({class_id})"
        for name, class_id in zip(names, ids, strict=True)
    )
