"""What to know about a picture that is read all the same."""

from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageFile, ImageOps

from knowbound.data.pictures.identification import identify
from knowbound.data.preprocessing import Picture, Preprocessing, wide_values

# The frames of other formats are pages, views of one scene (MPO) or layers (PSD).
ANIMATIONS = ("GIF", "PNG", "WEBP", "AVIF")
TELL_UPRIGHT = ("exif", "Raw profile type exif", "XML:com.adobe.xmp", "xmp")
"""Entries in which a picture may say how it is to be turned; of a PNG that has been loaded, all."""
CUT = 0.01
"""The share of a picture's values beyond the range from which on it is said."""


def extension_remark(path: Path, picture: ImageFile.ImageFile) -> str:
    """That a file's name promises another format than it holds; "" where it does not."""
    alike = {"MPO": "JPEG", "DIB": "BMP"}
    expected = Image.registered_extensions().get(path.suffix.lower())
    found = alike.get(picture.format or "", picture.format or "")
    if expected is None or alike.get(expected, expected) == found:
        return ""
    return f"named {path.suffix} but holds {'an' if found[0] in 'AIS' else 'a'} {found}"


def frames_remark(picture: ImageFile.ImageFile, file: BinaryIO) -> str:
    """That a picture has further frames or pages, which are not used; "" where it has none."""
    if picture.format not in (*ANIMATIONS, "TIFF"):
        return ""
    if picture.format in ("GIF", "TIFF"):
        # Counting walks through the file: by another reader, so that this one stays at frame 1.
        place = file.tell()
        file.seek(0)
        frames = _count_frames(identify(file, ""))
        file.seek(place)
    else:
        frames = _count_frames(picture)
    if frames == 1:
        return ""
    if picture.format == "TIFF":
        return f"has {frames or 'several'} pages: only its first is used"
    return f"animated: only its first of {frames or 'several'} frames is used"


def _count_frames(picture: ImageFile.ImageFile) -> int:
    """How many frames there are, or 0 where the later ones are broken."""
    try:
        return int(picture.n_frames)  # type: ignore[attr-defined]  # all of these formats have it
    except Exception:
        return 0


def turn_upright(picture: Image.Image) -> tuple[Image.Image, str]:
    """The picture turned as its EXIF says.  Broken EXIF costs the rotation, not the picture."""
    if picture.format == "PNG" and picture.info.keys().isdisjoint(TELL_UPRIGHT):
        return picture, ""
    try:
        ImageOps.exif_transpose(picture, in_place=True)
        return picture, ""
    except Exception:
        bare = picture.copy()
        for key in TELL_UPRIGHT:
            bare.info.pop(key, None)
        return bare, "its EXIF data are broken: it may stand on its side"


def cut_remark(picture: Picture, preprocessing: Preprocessing) -> str:
    """How much of a picture lies beyond the range that is shown."""
    if isinstance(preprocessing.range, str):
        return ""
    values = wide_values(picture)
    if values is None:
        return ""
    low, high = preprocessing.range
    share = float(np.mean((values < low) | (values > high)))
    if share <= CUT:
        return ""
    return f"{share:.0%} of its values lie beyond the range {low:g} to {high:g} and are cut"
