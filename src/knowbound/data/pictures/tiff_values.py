"""TIFF files that Pillow has no mode for (bands of floating-point numbers, many bands): their
values."""

import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from knowbound.values import Array, DType

WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER = 256, 257, 258, 259, 262, 266
STRIP_OFFSETS, ORIENTATION, BANDS, ROWS_PER_STRIP, STRIP_BYTES = 273, 274, 277, 278, 279
PLANAR, PREDICTOR, TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_BYTES = 284, 317, 322, 323, 324, 325
EXTRA_SAMPLES, SAMPLE_FORMAT = 338, 339
TYPES = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q", 6: "b", 8: "h", 9: "i", 17: "q"}
"""The kinds of numbers in tags that are read here."""
ALPHA = (1, 2)
COMPRESSIONS = {1: "none", 5: "LZW", 8: "deflate", 32773: "PackBits", 32946: "deflate"}


class UnknownTiffError(Exception):
    """A valid TIFF that is not read here.  The message says what it is."""


@dataclass(frozen=True)
class TiffHeader:
    """What the first directory of a TIFF says.

    Args:
        order: "<" or ">", the order of bytes.
        tags: the numbers of each tag.
    """

    order: str
    tags: Mapping[int, tuple[int, ...]]

    def get(self, tag: int, usual: int) -> int:
        """The first number of a tag."""
        return self.tags.get(tag, (usual,))[0]

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.get(HEIGHT, 0), self.get(WIDTH, 0)

    @property
    def bands(self) -> int:
        """Values of each pixel, alpha among them."""
        return self.get(BANDS, 1)

    @property
    def dtype(self) -> DType:
        """Of the values.  Raises UnknownTiffError for what NumPy has no type for."""
        bits, formats = self.tags.get(BITS, (1,)), self.tags.get(SAMPLE_FORMAT, (1,))
        kind = {1: "u", 2: "i", 3: "f", 4: "u"}.get(formats[0])
        known = (8, 16, 32, 64) if kind != "f" else (16, 32, 64)
        if len(set(bits)) > 1 or len(set(formats)) > 1 or kind is None or bits[0] not in known:
            raise UnknownTiffError(f"bands of {', '.join(map(str, sorted(set(bits))))} bits")
        return np.dtype(f"{self.order}{kind}{bits[0] // 8}")

    @property
    def nbytes(self) -> int:
        """Bytes of the values."""
        height, width = self.size
        return height * width * self.bands * self.dtype.itemsize


def read_header(file: BinaryIO) -> TiffHeader:
    """The first directory of a TIFF or BigTIFF.

    Raises:
        ValueError, struct.error: for one that is broken.
    """
    file.seek(0)
    start = file.read(16)
    order = "<" if start[:2] == b"II" else ">"
    big = struct.unpack(order + "H", start[2:4])[0] == 43
    place = struct.unpack(order + ("Q" if big else "I"), start[8:16] if big else start[4:8])[0]
    file.seek(place)
    count_kind, entry_kind = ("Q", "HHQ8s") if big else ("H", "HHI4s")
    count = struct.unpack(order + count_kind, file.read(struct.calcsize(order + count_kind)))[0]
    size = struct.calcsize(order + entry_kind)
    directory = file.read(min(count, 4096) * size)
    tags = {}
    for number, kind, length, inline in struct.iter_unpack(order + entry_kind, directory):
        if kind in TYPES and length <= 2**26:
            tags[number] = _numbers(file, order, TYPES[kind], length, inline)
    return TiffHeader(order, tags)


def _numbers(file: BinaryIO, order: str, kind: str, length: int, inline: bytes) -> tuple[int, ...]:
    size = struct.calcsize(order + kind) * length
    if size > len(inline):
        file.seek(struct.unpack(order + ("Q" if len(inline) == 8 else "I"), inline)[0])
        inline = file.read(size)
    return struct.unpack(f"{order}{length}{kind}", inline[:size])


def read_values(file: BinaryIO, header: TiffHeader) -> tuple[Array, str]:
    """The values (H, W, B) of the first page, upright, and a remark.

    B is 1, 2 (grey and alpha), 3 or 4 (red, green, blue and alpha); of more bands the first three.

    Raises:
        UnknownTiffError: for a compression or layout that is not read here.
        ValueError, struct.error, zlib.error: for a file that is broken.
    """
    whole = _read_chunks(file, header)
    if header.get(PHOTOMETRIC, 1) == 0 and header.dtype.kind == "u":  # white is zero
        whole = np.iinfo(whole.dtype).max - whole
    chosen, remark = _choose_bands(whole, header)
    turned = _upright(chosen, header.get(ORIENTATION, 1))
    return np.ascontiguousarray(turned.astype(turned.dtype.newbyteorder("="))), remark


def _choose_bands(values: Array, header: TiffHeader) -> tuple[Array, str]:
    extra = header.tags.get(EXTRA_SAMPLES, ())
    has_alpha = bool(extra) and extra[0] in ALPHA
    colours = header.bands - len(extra) if extra else header.bands
    if has_alpha and colours in (1, 3):
        remark = "" if len(extra) == 1 else f"has {header.bands} bands: the others are left out"
        return values[..., : colours + 1], remark
    if header.bands in (1, 3):
        return values, ""
    if header.bands == 2:
        return values[..., :1], "has 2 bands: only its first is used, as grey"
    return (
        values[..., :3],
        f"has {header.bands} bands: only its first 3 are used, as red, green and blue",
    )


def _read_chunks(file: BinaryIO, header: TiffHeader) -> Array:
    """The values (H, W, B) as they are stored, strip by strip or tile by tile."""
    height, width = header.size
    dtype, bands = header.dtype, header.bands
    unpack = _unpacker(header)
    planes = bands if header.get(PLANAR, 1) == 2 else 1
    deep = bands // planes
    tiled = TILE_OFFSETS in header.tags
    high = header.get(TILE_HEIGHT, 0) if tiled else min(header.get(ROWS_PER_STRIP, height), height)
    wide = header.get(TILE_WIDTH, 0) if tiled else width
    if not (height and width and bands and high and wide):
        raise ValueError("a side of 0 pixels")
    values = np.zeros((height, width, bands), dtype)
    places = [
        (plane, top, left)
        for plane in range(planes)
        for top in range(0, height, high)
        for left in range(0, width, wide)
    ]
    chunks = _chunks(file, header, tiled)
    for (plane, top, left), chunk in zip(places, chunks, strict=True):
        rows = high if tiled else min(high, height - top)
        content = unpack(chunk, rows * wide * deep * dtype.itemsize)
        block = _predicted(content, (rows, wide, deep), dtype, header.get(PREDICTOR, 1))
        down, right = min(rows, height - top), min(wide, width - left)
        bands_here = slice(plane, plane + 1) if planes > 1 else slice(None)
        values[top : top + down, left : left + right, bands_here] = block[:down, :right]
    return values


def _chunks(file: BinaryIO, header: TiffHeader, tiled: bool) -> Iterator[bytes]:
    offsets = header.tags.get(TILE_OFFSETS if tiled else STRIP_OFFSETS, ())
    lengths = header.tags.get(TILE_BYTES if tiled else STRIP_BYTES, ())
    for offset, length in zip(offsets, lengths, strict=True):
        file.seek(offset)
        chunk = file.read(length)
        if len(chunk) < length:
            raise EOFError("truncated")
        yield chunk


def _unpacker(header: TiffHeader) -> Callable[[bytes, int], bytes]:
    """From the bytes of a chunk and their number unpacked to the unpacked bytes."""
    compression = header.get(COMPRESSION, 1)
    unpackers: dict[str, Callable[[bytes, int], bytes]] = {
        "none": lambda chunk, _: chunk,
        "deflate": lambda chunk, size: zlib.decompressobj().decompress(chunk, size),
        "PackBits": _unpack_bits,
        "LZW": _unpack_lzw,
    }
    name = COMPRESSIONS.get(compression)
    if name is None or header.get(FILL_ORDER, 1) != 1:
        raise UnknownTiffError(f"{header.bands} bands in compression {compression}")
    return unpackers[name]


def _unpack_bits(chunk: bytes, size: int) -> bytes:
    """PackBits: a count, then so many bytes, or one byte so many times."""
    out, place = bytearray(), 0
    while place < len(chunk) and len(out) < size:
        count = chunk[place]
        if count < 128:
            out += chunk[place + 1 : place + 2 + count]
            place += 2 + count
        else:
            if count > 128:
                out += chunk[place + 1 : place + 2] * (257 - count)
            place += 1 if count == 128 else 2
    return bytes(out)


def _unpack_lzw(chunk: bytes, size: int) -> bytes:
    """TIFF's LZW: codes of 9 to 12 bits, the high bits first, widened one code early."""
    clear, end = 256, 257
    first = [bytes([value]) for value in range(256)] + [b"", b""]
    table, out = list(first), bytearray()
    bits = held = 0
    width, before = 9, b""
    for byte in chunk:
        held, bits = (held << 8) | byte, bits + 8
        if bits < width:
            continue
        bits -= width
        code = held >> bits
        held &= (1 << bits) - 1
        if code == end or len(out) >= size:
            break
        if code == clear:
            table, width, before = list(first), 9, b""
            continue
        if before:
            if code > len(table):
                raise ValueError("a code that is not in the table")
            entry = table[code] if code < len(table) else before + before[:1]
            table.append(before + entry[:1])
        else:
            entry = table[code]
        out += entry
        before = entry
        width = min(12, max(9, (len(table) + 1).bit_length()))
    return bytes(out)


def _predicted(content: bytes, shape: tuple[int, int, int], dtype: DType, predictor: int) -> Array:
    """The values (H, W, B) of a chunk, from their differences where such were stored."""
    rows, wide, deep = shape
    count = rows * wide * deep
    if len(content) < count * dtype.itemsize:
        raise EOFError("truncated")
    if predictor == 3:
        return _float_predicted(content[: count * dtype.itemsize], shape, dtype)
    values = np.frombuffer(content, dtype, count).reshape(shape)
    if predictor == 2:
        plain = values.astype(dtype.newbyteorder("="))
        unsigned = plain.view(f"u{dtype.itemsize}")
        return np.cumsum(unsigned, axis=1, dtype=unsigned.dtype).view(plain.dtype)
    if predictor != 1:
        raise UnknownTiffError(f"predictor {predictor}")
    return values


def _float_predicted(content: bytes, shape: tuple[int, int, int], dtype: DType) -> Array:
    """Floats whose bytes lie apart in each row, the highest of all first, as differences."""
    rows, wide, deep = shape
    apart = np.frombuffer(content, np.uint8).reshape(rows, -1, deep)
    summed = np.cumsum(apart, axis=1, dtype=np.uint8).reshape(rows, dtype.itemsize, wide * deep)
    together = np.ascontiguousarray(summed.transpose(0, 2, 1))
    return together.view(f">f{dtype.itemsize}").reshape(shape)


def _upright(values: Array, orientation: int) -> Array:
    """The values turned as TIFF's tag says, which counts as EXIF does."""
    if orientation in (5, 6, 7, 8):
        values = values.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        values = values[:, ::-1]
    if orientation in (3, 4, 7, 8):
        values = values[::-1]
    return values
