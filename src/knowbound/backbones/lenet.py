"""LeNet (LeCun et al., 1998) in the form used with MNIST: two 5x5 convolutions, one hidden layer."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d, relu


class LeNet(nn.Module):
    """Embeddings (N, dim) of images (N, channels, height, width) in [0, 1].

    Convolutions of 20 and 50 filters, each followed by ReLU and 2x2 max pooling, a hidden layer of ``hidden`` units with
    ReLU, and a linear layer.  Section 3.3 and Supplement B of the paper name LeNet and give no sizes; these are those of
    the common MNIST LeNet.  Images are centred to [-1, 1] inside.  Raises ValueError for images under 16 x 16.
    """

    def __init__(self, dim: int, *, channels: int = 1, height: int = 28, width: int = 28, hidden: int = 500) -> None:
        super().__init__()
        if height < 16 or width < 16:
            raise ValueError(f"LeNet was asked for images of {height} x {width}; expected at least 16 x 16")
        self.settings: dict[str, Any] = {
            "dim": dim, "channels": channels, "height": height, "width": width, "hidden": hidden,
        }  # fmt: skip
        self.conv1 = nn.Conv2d(channels, 20, 5)
        self.conv2 = nn.Conv2d(20, 50, 5)
        rows, columns = (((side - 4) // 2 - 4) // 2 for side in (height, width))
        self.hidden = nn.Linear(50 * rows * columns, hidden)
        self.embed = nn.Linear(hidden, dim)

    def features(self, images: Tensor) -> Tensor:
        """(N, C, H, W) in [0, 1] -> (N, hidden) activations of the hidden layer."""
        maps = max_pool2d(relu(self.conv1(images * 2 - 1)), 2)
        maps = max_pool2d(relu(self.conv2(maps)), 2)
        return relu(self.hidden(torch.flatten(maps, 1)))

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) in [0, 1] -> (N, dim)."""
        embeddings: Tensor = self.embed(self.features(images))
        return embeddings
