"""Colours of 16 bits, of which Pillow keeps the high bytes: both bytes, by reading them twice."""

import sys

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

LITTLE, BIG, NATIVE = "16L", "16B", "16N"
OTHER = {LITTLE: BIG, BIG: LITTLE, NATIVE: BIG if sys.byteorder == "little" else LITTLE}
GREY = "LA"
KINDS = ("RGB", "RGBA", "RGBX", GREY)


def wide_kind(picture: ImageFile.ImageFile) -> str:
    """The kind of colour, one of ``KINDS``, where the file has 16 bits for each value and Pillow is
    about to make 8 of them; else ""."""
    kinds = {_raw_mode(picture, tile).partition(";")[::2] for tile in picture.tile}
    if len(kinds) != 1:
        return ""
    kind, order = kinds.pop()
    return kind if kind in KINDS and order in OTHER else ""


def read_other_bytes(picture: ImageFile.ImageFile, kind: str) -> None:
    """Load the bytes that Pillow would leave out, of a second reader of the same file.

    Told that the low byte comes first where the high one does, Pillow takes the low bytes.  Of grey
    with alpha it is told that there are four bytes to a pixel.
    """
    tiles = []
    for tile in picture.tile:
        raw = _raw_mode(picture, tile)
        order = raw.partition(";")[2]
        other = "RGBA" if kind == GREY else f"{kind};{OTHER[order]}"
        args = tile[3]
        tiles.append((*tile[:3], (other, *args[1:]) if isinstance(args, tuple) else other))
    picture.tile = tiles  # type: ignore[assignment]  # plain tuples in every version of Pillow
    picture.load()


def join_bytes(high: Image.Image, other: Image.Image, kind: str) -> NDArray[np.uint16]:
    """The values (H, W, B) of a picture read by Pillow's own way and by ``read_other_bytes``; the
    last band is alpha where B is 2 or 4."""
    if kind == GREY:
        grey_high, grey_low, alpha_high, alpha_low = np.moveaxis(np.asarray(other), 2, 0)
        return np.stack([_word(grey_high, grey_low), _word(alpha_high, alpha_low)], axis=2)
    return _word(np.asarray(high), np.asarray(other))


def _word(high: NDArray[np.uint8], low: NDArray[np.uint8]) -> NDArray[np.uint16]:
    word = high.astype(np.uint16)
    word <<= 8
    word |= low
    return word


def _raw_mode(picture: ImageFile.ImageFile, tile: "ImageFile._Tile") -> str:
    """How the file's bytes are laid out, in Pillow's words: ``RGB;16B``."""
    args = tile[3]
    raw = args[0] if isinstance(args, tuple) and args else args
    return raw if isinstance(raw, str) else picture.mode
