"""How any picture becomes an image the model takes.  Explicit, and saved with the model."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from knowbound.data.source import Source

RESAMPLING = (
    Image.Resampling.BILINEAR
)  # Pillow's bilinear is antialiased: no aliasing when shrinking


@dataclass(frozen=True)
class Preprocessing:
    """Turns a picture of any size and mode into (C, H, W) uint8.

    height, width: pixels; channels: 1 (grey, ITU-R 601 luma) or 3 (RGB).  The aspect is not kept:
    the whole picture is resized to height x width with an antialiased bilinear filter.  Transparent
    pixels are laid over white.
    """

    height: int
    width: int
    channels: int

    def __post_init__(self) -> None:
        if self.channels not in (1, 3) or self.height < 1 or self.width < 1:
            raise ValueError(
                f"{self} was asked for; expected 1 or 3 channels and a size of at least 1 x 1 "
                "pixels"
            )

    def __call__(self, picture: Image.Image) -> NDArray[np.uint8]:
        """The picture as a (C, H, W) uint8 array."""
        picture = to_colour_or_grey(picture, self.channels)
        if picture.size != (self.width, self.height):
            picture = picture.resize((self.width, self.height), RESAMPLING)
        array = np.asarray(picture, dtype=np.uint8)
        return array[None] if self.channels == 1 else np.ascontiguousarray(array.transpose(2, 0, 1))

    def apply(self, source: Source) -> Source:
        """The source with every image brought to this shape, in memory; the same source where
        nothing changes."""
        if source.image_shape == (self.channels, self.height, self.width):
            return source
        out = np.empty((len(source), self.channels, self.height, self.width), dtype=np.uint8)
        for index in range(len(source)):
            out[index] = self(to_picture(source.images(slice(index, index + 1))[0]))
        return Source(source.name, out, source.labels, source.class_names)

    def to_dict(self) -> dict[str, Any]:
        """The settings as JSON values."""
        return {
            "height": self.height,
            "width": self.width,
            "channels": self.channels,
            "resampling": "antialiased bilinear",
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Preprocessing":
        """The settings read back.  Raises ValueError for a resampling this version does not
        know."""
        if values.get("resampling") != "antialiased bilinear":
            raise ValueError(
                f"resampling {values.get('resampling')!r} is unknown; this version has "
                "'antialiased bilinear'"
            )
        return cls(values["height"], values["width"], values["channels"])


def to_picture(image: NDArray[Any]) -> Image.Image:
    """A (C, H, W) image, uint8 or float32 in [0, 1], as a grey or RGB picture."""
    if image.dtype != np.uint8:
        image = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
    return Image.fromarray(
        image[0] if image.shape[0] == 1 else np.ascontiguousarray(image.transpose(1, 2, 0))
    )


def to_colour_or_grey(picture: Image.Image, channels: int) -> Image.Image:
    """The picture upright (EXIF rotation applied), in 8 bits, as grey (1 channel) or RGB (3
    channels).

    16-bit grey is scaled from 0..65535 to 0..255; transparency is laid over white.
    Raises ValueError for floating-point pixels, whose range nothing tells.
    """
    picture = ImageOps.exif_transpose(picture)
    if picture.mode == "F":
        raise ValueError(
            "its pixels are floating-point numbers of unknown range; save it as 8 or 16 bits"
        )
    if picture.mode.startswith(
        "I"
    ):  # I;16, I;16B or I: 16-bit grey, which convert("L") would clip at 255
        wide = np.asarray(picture).astype(np.float64)
        picture = Image.fromarray(np.rint(np.clip(wide, 0, 65535) / 257).astype(np.uint8))
    if picture.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in picture.info:
        opaque = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", opaque.size, "white"), opaque)
    mode = "L" if channels == 1 else "RGB"
    return picture if picture.mode == mode else picture.convert(mode)
