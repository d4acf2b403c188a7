"""Random changes of a batch of images, all at once, from a generator."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample


@dataclass(frozen=True)
class Augmentation:
    """What a training image may undergo.  All zero = nothing.

    shift: largest shift in pixels, each way; rotation: largest turn in degrees; scale: largest
    relative change of size; brightness, contrast: largest relative change of the pixel values.
    Images are never mirrored: a mirrored digit or traffic sign is another class.
    """

    shift: int = 0
    rotation: float = 0.0
    scale: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Images (B, C, H, W) in [0, 1], each changed in its own way; edge pixels fill what moves
        in."""
        if self.rotation or self.scale:
            images = _affine(images, self, generator)
        elif self.shift:
            images = _shift(images, self.shift, generator)
        if self.brightness or self.contrast:
            images = _light(images, self, generator)
        return images


def _uniform(count: int, limit: float, generator: torch.Generator) -> Tensor:
    return (torch.rand(count, generator=generator) * 2 - 1) * limit


def _shift(images: Tensor, limit: int, generator: torch.Generator) -> Tensor:
    """Whole pixels, so that nothing is interpolated."""
    batch, _, height, width = images.shape
    by = torch.randint(-limit, limit + 1, (2, batch, 1), generator=generator)
    rows = (torch.arange(height) + by[0]).clamp_(0, height - 1).to(images.device)
    columns = (torch.arange(width) + by[1]).clamp_(0, width - 1).to(images.device)
    index = (rows * width)[:, :, None] + columns[:, None, :]
    flat = index.flatten(1)[:, None].expand(-1, images.shape[1], -1)
    return images.flatten(2).gather(2, flat).view_as(images)


def _affine(images: Tensor, rule: Augmentation, generator: torch.Generator) -> Tensor:
    batch, _, height, width = images.shape
    angle = _uniform(batch, math.radians(rule.rotation), generator)
    size = torch.exp(_uniform(batch, math.log1p(rule.scale), generator))
    x, y = (
        _uniform(batch, 2 * rule.shift / width, generator),
        _uniform(batch, 2 * rule.shift / height, generator),
    )
    sine, cosine = torch.sin(angle) * size, torch.cos(angle) * size
    ratio = (
        height / width
    )  # the grid's unit is half an image side, so a turn of an oblong image needs it
    matrix = torch.stack(
        [torch.stack([cosine, -sine * ratio, x], 1), torch.stack([sine / ratio, cosine, y], 1)],
        dim=1,
    ).to(images)
    grid = affine_grid(matrix, list(images.shape), align_corners=False)
    return grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _light(images: Tensor, rule: Augmentation, generator: torch.Generator) -> Tensor:
    batch = len(images)
    gain = (1 + _uniform(batch, rule.contrast, generator)).view(-1, 1, 1, 1).to(images)
    factor = (1 + _uniform(batch, rule.brightness, generator)).view(-1, 1, 1, 1).to(images)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return (((images - mean) * gain + mean) * factor).clamp(0, 1)
