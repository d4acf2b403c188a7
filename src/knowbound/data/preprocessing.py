"""How any picture becomes an image the model takes.  Explicit, and saved with the model."""

import math
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from knowbound.data.source import Source
from knowbound.errors import UserError
from knowbound.values import Array, JsonMapping, JsonObject

Range = Literal["full", "auto"] | tuple[float, float]
Background = Literal["white", "black", "auto"]
Fit = Literal["stretch", "crop", "pad"]
Picture = Image.Image | Array
"""A decoded picture, or its values (H, W) or (H, W, B) where Pillow has no mode for them."""

# Pillow's bilinear is antialiased: no aliasing when shrinking
RESAMPLING = Image.Resampling.BILINEAR
ALPHA_BANDS = (2, 4)


class UnknownRangeError(ValueError):
    """Nothing tells which of the picture's values is black and which is white."""


@dataclass(frozen=True)
class Preprocessing:
    """Turns a picture of any size and mode into (C, H, W) uint8.

    Args:
        height: of the image, in pixels.
        width: of the image, in pixels.
        channels: 1 (grey, ITU-R 601 luma) or 3 (RGB).
        range: (low, high), the values that become 0 and 255 in pictures of more than 8 bits; values
            beyond are cut.  "full" means (0, 65535), and refuses floating-point values.  "auto"
            is to be measured over a folder (``value_range.measure_values``) and replaced by
            ``settle``.  Pictures of 8 bits stay as they are.
        background: what lies under transparent pixels, and beside a padded picture: "white",
            "black", or "auto", to be measured and replaced likewise.
        fit: "stretch" resizes the whole picture to height x width and does not keep its aspect;
            "crop" keeps the aspect and cuts the longer side to its centre; "pad" keeps the aspect
            and fills the shorter side with ``background``.  All resize with an antialiased bilinear
            filter.

    Raises:
        UserError: for a setting that cannot be.
    """

    height: int
    width: int
    channels: int
    range: Range = "full"
    background: Background = "white"
    fit: Fit = "stretch"

    def __post_init__(self) -> None:
        if self.channels not in (1, 3) or self.height < 1 or self.width < 1:
            raise UserError(
                f"{self} was asked for; expected 1 or 3 channels and a size of at least 1 x 1 "
                "pixels"
            )
        object.__setattr__(self, "range", _checked_range(self.range))
        for name, value, kinds in (
            ("background", self.background, get_args(Background)),
            ("fit", self.fit, get_args(Fit)),
        ):
            if value not in kinds:
                raise UserError(
                    f"a {name} of {value!r} was asked for; expected one of {', '.join(kinds)}"
                )

    @property
    def is_settled(self) -> bool:
        """Whether nothing is left to be measured."""
        return "auto" not in (self.range, self.background)

    def settle(self, value_range: Range, background: Background) -> "Preprocessing":
        """The same with each "auto" replaced by what was measured.

        Args:
            value_range: that takes the place of an "auto" range.
            background: that takes the place of an "auto" background.
        """
        return replace(
            self,
            range=value_range if self.range == "auto" else self.range,
            background=background if self.background == "auto" else self.background,
        )

    def check_settled(self) -> None:
        """Check that nothing is left to be measured.

        Raises:
            UserError: the range or the background is still "auto".
        """
        if not self.is_settled:
            raise UserError(
                f"{self} is still to be measured; give the range and the background, or measure "
                "them over a folder first"
            )

    def __call__(self, picture: Picture) -> NDArray[np.uint8]:
        """The picture, turned as its EXIF data say, as a (C, H, W) uint8 array.

        Raises:
            UnknownRangeError: for values that ``range`` does not place.
        """
        return self.convert_upright(_upright(picture))

    def convert_upright(self, picture: Picture) -> NDArray[np.uint8]:
        """As a call, for a picture that is upright already: its EXIF data are not read.

        Args:
            picture: of any size and mode.

        Returns:
            (C, H, W) uint8.
        """
        self.check_settled()
        shown = _in_mode(picture, self.channels, self.range, self.background)
        array = np.asarray(self._fitted(shown), dtype=np.uint8)
        return array[None] if self.channels == 1 else np.ascontiguousarray(array.transpose(2, 0, 1))

    def _fitted(self, picture: Image.Image) -> Image.Image:
        """The picture in the wanted size."""
        wanted = (self.width, self.height)
        if picture.size == wanted:
            return picture
        if self.fit == "crop":
            return picture.resize(wanted, RESAMPLING, box=_central_box(picture.size, wanted))
        if self.fit == "pad":
            return self._padded(picture)
        return picture.resize(wanted, RESAMPLING)

    def _padded(self, picture: Image.Image) -> Image.Image:
        scale = min(self.width / picture.width, self.height / picture.height)
        inner = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
        whole = Image.new(picture.mode, (self.width, self.height), self.background)
        place = ((self.width - inner[0]) // 2, (self.height - inner[1]) // 2)
        whole.paste(picture.resize(inner, RESAMPLING), place)
        return whole

    def apply(self, source: Source) -> Source:
        """The source with every image brought to this shape, in memory.

        Args:
            source: of images of any shape.

        Returns:
            The same source where nothing changes.
        """
        if source.image_shape == (self.channels, self.height, self.width):
            return source
        out = np.empty((len(source), self.channels, self.height, self.width), dtype=np.uint8)
        for index in range(len(source)):
            out[index] = self(to_picture(source.images(slice(index, index + 1))[0]))
        return Source(source.name, out, source.labels, source.class_names)

    def to_dict(self) -> JsonObject:
        """The settings as JSON values."""
        return {
            "height": self.height,
            "width": self.width,
            "channels": self.channels,
            "resampling": "antialiased bilinear",
            "range": self.range if isinstance(self.range, str) else list(self.range),
            "background": self.background,
            "fit": self.fit,
        }

    @classmethod
    def from_dict(cls, values: JsonMapping) -> "Preprocessing":
        """The settings read back; those an older version did not write are as they were then.

        Raises:
            ValueError: for a resampling, range, background or fit this version does not know.
        """
        if values.get("resampling") != "antialiased bilinear":
            raise ValueError(
                f"resampling {values.get('resampling')!r} is unknown; this version has "
                "'antialiased bilinear'"
            )
        return cls(
            values["height"],
            values["width"],
            values["channels"],
            range=values.get("range", "full"),
            background=values.get("background", "white"),
            fit=values.get("fit", "stretch"),
        )


def to_picture(image: Array) -> Image.Image:
    """An array as a grey or RGB picture.

    Args:
        image: (C, H, W), C = 1 or 3, uint8 or float32 in [0, 1].
    """
    if image.dtype != np.uint8:
        image = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
    return Image.fromarray(
        image[0] if image.shape[0] == 1 else np.ascontiguousarray(image.transpose(1, 2, 0))
    )


def wide_values(picture: Picture) -> Array | None:
    """The values of a picture of more than 8 bits, alpha left out.

    Args:
        picture: of any mode.

    Returns:
        (H, W) or (H, W, B); None for other pictures.
    """
    if isinstance(picture, np.ndarray):
        has_alpha = picture.ndim == 3 and picture.shape[2] in ALPHA_BANDS
        values = picture[..., :-1] if has_alpha else picture
        return None if values.dtype == np.uint8 else values
    return np.asarray(picture) if picture.mode == "F" or picture.mode.startswith("I") else None


def with_transparent(values: Array, key: object) -> Array:
    """The values with a band of alpha, where one of their colours stands for transparent pixels.

    Args:
        values: (H, W) or (H, W, 3) of 16 bits.
        key: the colour: a number, or one for each band; anything else: none is transparent.
    """
    if isinstance(key, int) and values.ndim == 2:
        equal = values == key
    elif isinstance(key, tuple) and values.ndim == 3 and len(key) == values.shape[2]:
        equal = (values == np.array(key)).all(axis=2)
    else:
        return values
    alpha = np.where(equal, 0, 65535)
    return np.dstack([values, alpha]).astype(np.uint16)


def is_transparent(picture: Picture) -> bool:
    """Whether the picture says which of its pixels are transparent; all may be opaque."""
    if isinstance(picture, np.ndarray):
        return picture.ndim == 3 and picture.shape[2] in ALPHA_BANDS
    return picture.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in picture.info


def to_colour_or_grey(
    picture: Picture,
    channels: int,
    value_range: Range = "full",
    background: Background = "white",
) -> Image.Image:
    """The picture upright (EXIF rotation applied), in 8 bits, as grey (1 channel) or RGB (3
    channels).

    Values of more than 8 bits are scaled from ``value_range`` to 0..255; transparency is laid over
    ``background``.

    Raises:
        UnknownRangeError: for values that the range "full" does not place.
    """
    return _in_mode(_upright(picture), channels, value_range, background)


def _upright(picture: Picture) -> Picture:
    return picture if isinstance(picture, np.ndarray) else ImageOps.exif_transpose(picture)


def _in_mode(
    picture: Picture, channels: int, value_range: Range, background: Background
) -> Image.Image:
    """An upright picture in 8 bits, as grey or RGB."""
    if isinstance(picture, np.ndarray):
        picture = _eight_bit_picture(picture, value_range)
    else:
        values = wide_values(picture)
        if values is not None:
            keyed = with_transparent(values, picture.info.get("transparency"))
            picture = _eight_bit_picture(keyed, value_range)
    if is_transparent(picture):
        opaque = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", opaque.size, background), opaque)
    mode = "L" if channels == 1 else "RGB"
    return picture if picture.mode == mode else picture.convert(mode)


def _eight_bit_picture(values: Array, value_range: Range) -> Image.Image:
    """Values (H, W) or (H, W, B) as a grey or RGB picture, with alpha where B is 2 or 4."""
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[..., 0]
    if not is_transparent(values):
        return Image.fromarray(_to_eight_bits(values, value_range))
    shown = _to_eight_bits(values[..., :-1], value_range)
    alpha = values[..., -1:]
    highest = np.iinfo(alpha.dtype).max if alpha.dtype.kind in "iu" else 1
    alpha = np.rint(np.clip(alpha / highest, 0, 1) * 255).astype(np.uint8)
    return Image.fromarray(np.concatenate([shown, alpha], axis=2))


def _to_eight_bits(values: Array, value_range: Range) -> NDArray[np.uint8]:
    """Values scaled from the range to 0..255, cut at its ends; what is no number becomes 0."""
    if values.dtype == np.uint8:
        return values
    if isinstance(value_range, str):
        _check_sixteen_bits(values)
        return np.rint(values.astype(np.float64) / 257).astype(np.uint8)
    low, high = value_range
    scaled = (np.clip(np.nan_to_num(values.astype(np.float64), nan=low), low, high) - low) * (
        255 / (high - low)
    )
    return np.rint(scaled).astype(np.uint8)


def _check_sixteen_bits(values: Array) -> None:
    """Integers are taken as the 16 bits they nearly always are; beyond, the picture would
    saturate."""
    if values.dtype.kind == "f":
        finite = values[np.isfinite(values)]
        found = f" in {finite.min():.6g}..{finite.max():.6g}" if finite.size else ""
        raise UnknownRangeError(
            f"floating-point pixels{found}, whose range nothing tells; fit the model with "
            "--range LOW,HIGH or --range auto, or save it as 8 or 16 bits"
        )
    if values.dtype == np.uint16 or not values.size:
        return
    lowest, highest = values.min(), values.max()
    if lowest < 0 or highest > 65535:
        raise UnknownRangeError(
            f"integer pixels in {lowest}..{highest}, beyond 16 bits; fit the model with "
            "--range LOW,HIGH or --range auto, or save it as 8 or 16 bits"
        )


def _central_box(
    size: tuple[int, int], wanted: tuple[int, int]
) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of the largest central part that has the wanted aspect."""
    scale = min(size[0] / wanted[0], size[1] / wanted[1])
    width, height = wanted[0] * scale, wanted[1] * scale
    left, top = (size[0] - width) / 2, (size[1] - height) / 2
    return left, top, min(left + width, size[0]), min(top + height, size[1])


def _checked_range(value: object) -> Range:
    """The range, as a tuple where it is two numbers.  Raises UserError for any other."""
    if value in ("full", "auto"):
        return value
    if isinstance(value, list | tuple) and len(value) == 2:
        numbers = [v for v in value if isinstance(v, int | float) and math.isfinite(v)]
        if len(numbers) == 2 and numbers[0] < numbers[1]:
            return float(numbers[0]), float(numbers[1])
    raise UserError(
        f"a range of {value!r} was asked for; expected full, auto, or two numbers, the lower first"
    )
