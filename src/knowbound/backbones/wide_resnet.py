"""Wide residual network (Zagoruyko and Komodakis, BMVC 2016): WRN-28-10 is the paper's, WRN-16-2 the CPU default."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import relu


class WideBlock(nn.Module):
    """Two 3x3 convolutions, each after batch norm and ReLU, added to the input (or its 1x1 projection)."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(channels_in)
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, 1, 1, bias=False)
        changes = channels_in != channels_out or stride != 1
        self.project = nn.Conv2d(channels_in, channels_out, 1, stride, bias=False) if changes else None

    def forward(self, maps: Tensor) -> Tensor:
        """(N, channels_in, H, W) -> (N, channels_out, H / stride, W / stride)."""
        active = relu(self.norm1(maps))
        out: Tensor = self.conv2(relu(self.norm2(self.conv1(active))))
        return out + (maps if self.project is None else self.project(active))


class WideResNet(nn.Module):
    """Embeddings (N, dim) of images (N, channels, H, W) in [0, 1], any size from 8 x 8 up; the networks' own is 32 x 32.

    WRN-depth-width: three stages of (depth - 4) / 6 blocks with 16, 32 and 64 times ``widen`` channels, global average
    pooling, one linear layer.  Images are centred to [-1, 1] inside.  Raises ValueError for a depth that is not 6n + 4.

    gain: factor on the first weights of the linear layer.  Distances between fresh embeddings are about 0.8 times it; a metric
    loss with a margin of 10 learns sooner from a gain of 10 than from 1.
    """

    def __init__(self, dim: int, *, depth: int = 16, widen: int = 2, channels: int = 3, gain: float = 1.0) -> None:
        super().__init__()
        if depth < 10 or (depth - 4) % 6:
            raise ValueError(f"a wide residual network of depth {depth} was asked for; expected 6n + 4, such as 16 or 28")
        self.settings: dict[str, Any] = {"dim": dim, "depth": depth, "widen": widen, "channels": channels, "gain": gain}
        blocks, widths = (depth - 4) // 6, (16 * widen, 32 * widen, 64 * widen)
        self.conv = nn.Conv2d(channels, 16, 3, padding=1, bias=False)
        stages: list[nn.Module] = []
        channels_in = 16
        for width, stride in zip(widths, (1, 2, 2), strict=True):
            for index in range(blocks):
                stages.append(WideBlock(channels_in, width, stride if index == 0 else 1))
                channels_in = width
        self.stages = nn.Sequential(*stages)
        self.norm = nn.BatchNorm2d(channels_in)
        self.embed = nn.Linear(channels_in, dim)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        with torch.no_grad():
            self.embed.weight.mul_(gain)

    def features(self, images: Tensor) -> Tensor:
        """(N, C, H, W) in [0, 1] -> (N, 64 * widen) pooled activations."""
        maps = self.stages(self.conv(images * 2 - 1))
        return torch.mean(relu(self.norm(maps)), dim=(2, 3))

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) in [0, 1] -> (N, dim)."""
        embeddings: Tensor = self.embed(self.features(images))
        return embeddings
