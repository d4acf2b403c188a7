"""Wide residual network (Zagoruyko and Komodakis, BMVC 2016): WRN-28-10 is the paper's, WRN-16-2
the CPU default."""

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from knowbound.backbones.backbone import Backbone


class WideBlock(nn.Module):
    """Two 3x3 convolutions, each after batch norm and ReLU, added to the input (or its 1x1
    projection)."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(channels_in)
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, 1, 1, bias=False)
        changes = channels_in != channels_out or stride != 1
        self.project = (
            nn.Conv2d(channels_in, channels_out, 1, stride, bias=False) if changes else None
        )

    def forward(self, maps: Tensor) -> Tensor:
        """(N, channels_in, H, W) -> (N, channels_out, H / stride, W / stride)."""
        active = relu(self.norm1(maps))
        out: Tensor = self.conv2(relu(self.norm2(self.conv1(active))))
        return out + (maps if self.project is None else self.project(active))


class WideResNet(Backbone):
    """Outputs of images (N, channels, H, W) in [0, 1], any size from 8 x 8 up; their own is 32 x 32.

    WRN-depth-width: three stages of (depth - 4) / 6 blocks with 16, 32 and 64 times ``widen``
    channels, global average pooling, one linear layer for each head.  Images are centred to
    [-1, 1] inside.

    Args:
        embedding: length of the embedding, or None for no metric head.
        logits: number of classes, or None for no class head.
        unit_length: whether embeddings are scaled to length 1, as some losses compare them.
        depth: 6n + 4, such as 16 or 28.
        widen: factor on the channels.
        channels: 1 or 3.
        gain: factor on the first weights of the metric head (without one: of the class head).
            Distances between fresh embeddings are about 0.8 times it; a metric loss with a margin
            of 10 learns sooner from a gain of 10 than from 1.

    Raises:
        ValueError: a depth that is not 6n + 4.
    """

    def __init__(
        self,
        embedding: int | None = None,
        logits: int | None = None,
        *,
        unit_length: bool = False,
        depth: int = 16,
        widen: int = 2,
        channels: int = 3,
        gain: float = 1.0,
    ) -> None:
        super().__init__()
        if depth < 10 or (depth - 4) % 6:
            raise ValueError(
                f"a wide residual network of depth {depth} was asked for; expected 6n + 4, such as "
                "16 or 28"
            )
        self.settings = {
            "embedding": embedding,
            "logits": logits,
            "unit_length": unit_length,
            "depth": depth,
            "widen": widen,
            "channels": channels,
            "gain": gain,
        }
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
        self.add_heads(channels_in, embedding, logits, unit_length)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        with torch.no_grad():
            first = "logits" if embedding is None else "embedding"
            self.heads[first].get_parameter("weight").mul_(gain)

    def activations(self, images: Tensor) -> tuple[list[Tensor], Tensor]:
        """The sum after every block, and the pooled last one after ReLU.

        Args:
            images: (N, C, H, W) in [0, 1].

        Returns:
            The sums, and the features (N, 64 widen).
        """
        maps, blocks = self.conv(images * 2 - 1), []
        for block in self.stages:
            maps = block(maps)
            blocks.append(maps)
        return blocks, torch.mean(relu(self.norm(maps)), dim=(2, 3))
