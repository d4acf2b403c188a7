"""PNG files whose text is longer than Pillow reads: their pixels are as good as any."""

import struct
import zlib
from collections.abc import Iterator

SIGNATURE = b"\x89PNG\r\n\x1a\n"
TEXT = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")
LONGEST = 2**20
"""Bytes of text, unpacked, that Pillow reads in one chunk."""


def without_long_text(content: bytes) -> bytes | None:
    """The file without the chunks of text and colour profile that are too long for Pillow, or None
    where there are none, or it is no PNG.

    Short ones stay: they may say how the picture is turned.
    """
    if not content.startswith(SIGNATURE):
        return None
    kept = [SIGNATURE]
    for name, chunk in _chunks(content):
        if name not in TEXT or not _is_long(name, chunk[8:-4]):
            kept.append(chunk)
    whole = b"".join(kept)
    return whole if len(whole) < len(content) else None


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and bytes of each chunk; what follows the last whole one comes as it is."""
    place = len(SIGNATURE)
    while place + 12 <= len(content):
        length = struct.unpack_from(">I", content, place)[0]
        yield content[place + 4 : place + 8], content[place : place + 12 + length]
        place += 12 + length
    if place < len(content):
        yield b"", content[place:]


def _is_long(name: bytes, body: bytes) -> bool:
    if name == b"tEXt":
        return len(body) > LONGEST
    packed = body.split(b"\0", 1)[-1]
    if name == b"iTXt":
        if packed[:1] != b"\x01":
            return len(body) > LONGEST
        packed = packed[2:].split(b"\0", 2)[-1]
    else:
        packed = packed[1:]
    try:
        unpacked = zlib.decompressobj().decompress(packed, LONGEST + 1)
    except zlib.error:
        return False
    return len(unpacked) > LONGEST
