"""Whatever a user calls a picture, or several -> pictures one by one."""

import sys
from collections.abc import Iterable
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard, Union, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from knowbound.data.pictures.picture_files import UnreadableImageError, read_image
from knowbound.data.preprocessing import Preprocessing, to_picture
from knowbound.errors import UserError
from knowbound.values import Array

if TYPE_CHECKING:
    from torch import Tensor

Picture = Union[Image.Image, str, PathLike[str], bytes, Array, "Tensor"]
EXPECTED = (
    "a path, the bytes of a picture file, a PIL image, an array (H, W) or (H, W, 3), a tensor "
    "(H, W) or (3, H, W), or several of them"
)


def is_one(given: Picture | Iterable[Picture]) -> bool:
    """Whether one picture was given, not several.

    An array or tensor is one picture with two axes, or three of which one is the colours; with
    four it is several.

    Raises:
        UserError: neither a picture nor several.
    """
    if isinstance(given, np.ndarray) or _is_tensor(given):
        if given.ndim not in (2, 3, 4):
            raise UserError(
                f"an array of the shape {tuple(given.shape)} was given; expected {EXPECTED}"
            )
        return given.ndim < 4
    if isinstance(given, Image.Image | str | PathLike | bytes | bytearray):
        return True
    if not isinstance(given, Iterable):
        raise UserError(f"{type(given).__name__} was given as a picture; expected {EXPECTED}")
    return False


def one_or_several(given: Picture | Iterable[Picture]) -> list[Picture]:
    """The pictures that were given, as a list.

    Raises:
        UserError: neither a picture nor several.
    """
    if is_one(given):
        return [cast(Picture, given)]
    return list(cast(Iterable[Picture], given))


def image_of(picture: Picture, preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """One picture as the (C, H, W) uint8 image that the network takes.

    Args:
        picture: paths and bytes of any picture format; arrays and tensors uint8, or floating-point
            numbers in [0, 1].
        preprocessing: how it becomes an image.

    Raises:
        UserError: it cannot be read, or is no picture.
    """
    try:
        if isinstance(picture, str | PathLike):
            return read_image(Path(picture), preprocessing)[0]
        if isinstance(picture, bytes | bytearray):
            return read_image(Path("picture"), preprocessing, content=bytes(picture))[0]
        return preprocessing(_as_pil(picture))
    except (UnreadableImageError, ValueError, OSError, SyntaxError) as error:
        raise UserError(f"{_name(picture)} cannot be used: {error}") from error


def _is_tensor(given: object) -> TypeGuard["Tensor"]:
    """Whether it is a torch tensor; torch is not imported for the question."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(given, torch.Tensor)


def _as_pil(picture: Picture) -> Image.Image:
    if isinstance(picture, Image.Image):
        picture.load()  # a truncated file says so here
        return picture
    if isinstance(picture, np.ndarray):
        return from_array(picture)
    if _is_tensor(picture):
        array = picture.detach().cpu().numpy()
        channels_last = array.ndim == 3 and array.shape[0] in (1, 3, 4)
        return from_array(array.transpose(1, 2, 0) if channels_last else array)
    raise ValueError(f"expected {EXPECTED}")


def from_array(image: Array) -> Image.Image:
    """A picture of (H, W), (H, W, 1), (H, W, 3) or (H, W, 4).

    Raises:
        ValueError: another shape, or values whose range nothing tells.
    """
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (1, 3, 4)):
        raise ValueError(f"its shape is {image.shape}; expected (H, W) or (H, W, 3)")
    if not image.size:
        raise ValueError(f"its shape is {image.shape}, without a pixel")
    in_range = image.dtype.kind == "f" and image.min() >= 0 and image.max() <= 1
    if image.dtype != np.uint8 and not in_range:
        raise ValueError(
            f"it holds {image.dtype}; expected uint8, or floating-point numbers from 0 to 1"
        )
    return to_picture(image[None] if image.ndim == 2 else image.transpose(2, 0, 1))


def _name(picture: Any) -> str:
    if isinstance(picture, str | PathLike):
        return str(picture)
    return f"a picture of type {type(picture).__name__}"
