"""Random views of photographs: another crop, mirrored, in another light.  From a generator."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

GREY = (0.299, 0.587, 0.114)
"""What each colour weighs in the grey picture (ITU-R 601)."""


@dataclass(frozen=True)
class PhotographViews:
    """What a photograph may undergo while a network is fine-tuned.

    Attributes:
        area: smallest share of the picture's area that a crop keeps, above 0, up to 1.
        ratio: largest ratio of the sides of a crop, 1 or more.
        brightness: largest relative change of the pixel values.
        contrast: largest relative change of the distances from the mean grey.
        saturation: largest relative change of the distances of the colours from their grey.

    Raises:
        ValueError: a setting outside its range.
    """

    area: float = 0.4
    ratio: float = 4 / 3
    brightness: float = 0.3
    contrast: float = 0.3
    saturation: float = 0.3

    def __post_init__(self) -> None:
        light = (self.brightness, self.contrast, self.saturation)
        if not 0 < self.area <= 1 or not self.ratio >= 1 or not all(0 <= x < 1 for x in light):
            raise ValueError(
                f"{self} was asked for; expected an area in (0, 1], a ratio of 1 or more, and "
                "changes of the light in [0, 1)"
            )

    def __call__(self, images: Tensor, mirrors: Tensor, generator: torch.Generator) -> Tensor:
        """A random view of each image.

        Args:
            images: (B, C, H, W) in [0, 1], with 1 or 3 channels.
            mirrors: (B,) bool, which images may be mirrored.
            generator: of everything random, on the CPU.

        Returns:
            (B, C, H, W) in [0, 1].
        """
        count = len(images)
        mirrored = (torch.rand(count, generator=generator) < 0.5) & mirrors
        seen = _cropped(images, self, mirrored, generator)
        return _lit(seen, self, generator)


def _uniform(count: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    return low + torch.rand(count, generator=generator) * (high - low)


def _cropped(
    images: Tensor, views: PhotographViews, mirrored: Tensor, generator: torch.Generator
) -> Tensor:
    """A random part of each image, enlarged to its size; from left to right or mirrored."""
    count = len(images)
    area = _uniform(count, views.area, 1.0, generator)
    limit = math.log(views.ratio)
    shape = torch.exp(_uniform(count, -limit, limit, generator)).sqrt()
    width = (area.sqrt() * shape).clamp(max=1.0)
    height = (area.sqrt() / shape).clamp(max=1.0)
    x = (1 - width) * _uniform(count, -1.0, 1.0, generator)
    y = (1 - height) * _uniform(count, -1.0, 1.0, generator)
    none = torch.zeros(count)
    across = torch.where(mirrored, -width, width)
    matrix = torch.stack(
        [torch.stack([across, none, x], 1), torch.stack([none, height, y], 1)], dim=1
    ).to(images)
    grid = affine_grid(matrix, list(images.shape), align_corners=False)
    return grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _lit(images: Tensor, views: PhotographViews, generator: torch.Generator) -> Tensor:
    """Each image in another light: brightness, contrast and, of colour images, saturation."""

    def factor(limit: float) -> Tensor:
        drawn = 1 + _uniform(len(images), -limit, limit, generator)
        return drawn.to(images).view(-1, 1, 1, 1)

    images = images * factor(views.brightness)
    grey = _grey(images)
    mean = grey.mean(dim=(1, 2, 3), keepdim=True)
    images = mean + (images - mean) * factor(views.contrast)
    grey = _grey(images)
    return (grey + (images - grey) * factor(views.saturation)).clamp(0, 1)


def _grey(images: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, 1, H, W)."""
    if images.shape[1] == 1:
        return images
    weights = torch.tensor(GREY, device=images.device, dtype=images.dtype).view(1, 3, 1, 1)
    return (images * weights).sum(dim=1, keepdim=True)
