"""What a file is that is no picture we read: its name, and what to do about it."""

import re

HEIC = "a HEIC picture, as iPhones take them"
AVIF_BRANDS = (b"avif", b"avis")
HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"mif2")
PICTURES = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"GIF8": "GIF",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
}
"""How the commonest formats that we do read begin."""
OTHERS = {
    rb"\xff\x0a|\0\0\0\x0cJXL ": "a JPEG XL picture; convert it to PNG or JPEG",
    rb"%PDF": "a PDF document; export its pages as pictures",
    rb"PK\x03\x04": "a zip archive, or an office document; unpack it, or export its pictures",
    rb"\x1f\x8b": "a gzip file; unpack it",
    rb"7z\xbc\xaf'\x1c|Rar!": "an archive; unpack it",
    rb"version https://git-lfs": "a pointer of Git LFS, not the picture itself; run git lfs pull",
    rb"\s*(\xef\xbb\xbf)?\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?(<!DOCTYPE svg|<svg)": "an SVG "
    "drawing; export it as PNG",
    rb"\s*(\xef\xbb\xbf)?\s*<(!doctype html|html|head)": "a web page, perhaps instead of a "
    "download that failed",
    rb"....ftyp(qt  |isom|iso[2-9]|mp4|M4V|avc1|3gp)": "a film; export its frames as pictures",
    rb"\x1aE\xdf\xa3|RIFF....AVI ": "a film; export its frames as pictures",
    rb"RIFF....WAVE|ID3|OggS|fLaC": "a sound recording",
    rb"\x93NUMPY": "a NumPy array; save it as PNG or TIFF",
    rb"\x89HDF\r\n": "an HDF5 file; export its pictures as PNG or TIFF",
    rb"SIMPLE  =": "a FITS picture; export it as TIFF",
    rb"v/1\x01": "an OpenEXR picture; export it as TIFF",
    rb"#\?(RADIANCE|RGBE)": "a Radiance HDR picture; export it as TIFF",
    rb".{128}DICM": "a DICOM picture; export it as PNG or TIFF",
    rb".{344}(n\+1|ni1)\0": "a NIfTI volume; export its slices as PNG or TIFF",
    rb"%!PS": "a PostScript drawing; export it as PNG",
    rb"....\s?ftypcrx |FUJIFILMCCD-RAW|IIU\0|IIRO|MMOR": "a camera's raw picture; develop it to "
    "JPEG or TIFF",
    rb"\s*(\xef\xbb\xbf)?\s*[\[{]\s*[\"\[{\d]": "a JSON file",
}
"""A pattern of the first bytes -> what such a file is, and what to do."""
LOOKED_AT = 512
"""Bytes from which a format is told."""


def is_heic(start: bytes) -> bool:
    """Whether a file that begins so is a HEIC picture."""
    return start[4:8] == b"ftyp" and start[8:12] in HEIC_BRANDS and not _is_avif(start)


def name_format(start: bytes) -> str:
    """One short sentence on what a file is that gives no picture, from its first bytes."""
    for beginning, name in PICTURES.items():
        if start.startswith(beginning):
            return f"begins as a {name}, but its header is broken or cut off"
    for pattern, name in OTHERS.items():
        if re.match(pattern, start, re.DOTALL | re.IGNORECASE):
            what = name.partition(";")[0]
            return name if "picture" in what else f"not a picture but {name}"
    return "not a picture (of no format that can be read)"


def _is_avif(start: bytes) -> bool:
    """Whether an ISO container of pictures also names AVIF among its brands."""
    length = int.from_bytes(start[:4], "big")
    brands = start[8 : min(length, len(start))]
    return any(
        brand in (brands[i : i + 4] for i in range(0, len(brands), 4)) for brand in AVIF_BRANDS
    )
