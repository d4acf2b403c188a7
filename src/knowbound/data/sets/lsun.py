"""LSUN's test pictures as a source: the files the authors of ODIN made of them, or other scenes in
their stead."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from knowbound.data.pictures.names import printable
from knowbound.data.pictures.picture_pack import find_pack, read_classes, read_unlabelled
from knowbound.data.preprocessing import Preprocessing
from knowbound.data.source import Source
from knowbound.errors import UserError

Part = Literal["resize", "crop", "scenes"]
NAMES: Mapping[Part, tuple[str, str]] = {
    "resize": ("LSUN_resize", "LSUN (resize)"),
    "crop": ("LSUN", "LSUN (crop)"),
    "scenes": ("scenes_colour_32x32", "LSUN (scenes stand-in)"),
}
"""Each part: what its archive or folder is called, and the name of its source."""
FOLDERS = ("lsun", "scenes_colour")
PAGE = "https://github.com/facebookresearch/odin"


def read_lsun(root: Path, part: Part, preprocessing: Preprocessing) -> Source:
    """Photographs of scenes, resized by ``preprocessing``; what ``part`` names:

    - "resize", "crop": LSUN's 10,000 test pictures as the authors of ODIN gave them out, in
      ``LSUN_resize`` and ``LSUN``, 32 x 32, without classes.  Table 1 of Lee et al. (ICLR 2018) is
      measured on "resize", whose shrinking left artefacts that make its pictures easy to tell from
      others;
    - "scenes": not LSUN.  Other scenes in its stead, ``scenes_colour_32x32`` with
      ``<class>/<name>.png``, and the source says so in its name.

    Images are in the order of their paths' letters.  The official lmdb archives are not read.

    Args:
        root: the set's folder or archive (.zip, .tar, .tar.gz), or a folder with it or with
            ``lsun/`` or ``scenes_colour/`` in it.
        part: of the set.
        preprocessing: how a picture becomes an image.

    Raises:
        UserError: the set is missing, is of another layout, or has pictures that cannot be read.
    """
    file, name = NAMES[part]
    place = find_pack(root, FOLDERS, file)
    if place is None:
        where = "" if part == "scenes" else f", fetched from {PAGE}"
        raise UserError(
            f"{file} was not found in {printable(root)}; give the folder that holds it{where}"
        )
    return (
        read_classes(place, name, preprocessing)
        if part == "scenes"
        else read_unlabelled(place, name, preprocessing)
    )


def present_parts(root: Path) -> tuple[Part, ...]:
    """The parts whose archive or folder is there, first those that Table 1 is measured on.  Nothing
    is opened.

    Args:
        root: as in ``read_lsun``.
    """
    return tuple(part for part in NAMES if find_pack(root, FOLDERS, NAMES[part][0]))
