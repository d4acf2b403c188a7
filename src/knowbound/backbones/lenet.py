"""LeNet (LeCun et al., 1998) in the form used with MNIST: two 5x5 convolutions, one hidden
layer."""

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d, relu

from knowbound.backbones.backbone import Backbone


class LeNet(Backbone):
    """Outputs of images (N, channels, height, width) in [0, 1].

    Convolutions of 20 and 50 filters, each followed by ReLU and 2x2 max pooling, a hidden layer of
    ``hidden`` units with ReLU, and a linear layer for each head.  Section 3.3 and Supplement B of
    the paper name LeNet and give no sizes; these are those of the common MNIST LeNet.  Images are
    centred to [-1, 1] inside.

    Args:
        embedding: length of the embedding, or None for no metric head.
        logits: number of classes, or None for no class head.
        unit_length: whether embeddings are scaled to length 1, as some losses compare them.
        channels: 1 or 3.
        height: of the images, in pixels, at least 16.
        width: of the images, in pixels, at least 16.
        hidden: length of the features.

    Raises:
        ValueError: images under 16 x 16.
    """

    def __init__(
        self,
        embedding: int | None = None,
        logits: int | None = None,
        *,
        unit_length: bool = False,
        channels: int = 1,
        height: int = 28,
        width: int = 28,
        hidden: int = 500,
    ) -> None:
        super().__init__()
        if height < 16 or width < 16:
            raise ValueError(
                f"LeNet was asked for images of {height} x {width}; expected at least 16 x 16"
            )
        self.settings = {
            "embedding": embedding,
            "logits": logits,
            "unit_length": unit_length,
            "channels": channels,
            "height": height,
            "width": width,
            "hidden": hidden,
        }
        self.conv1 = nn.Conv2d(channels, 20, 5)
        self.conv2 = nn.Conv2d(20, 50, 5)
        rows, columns = (((side - 4) // 2 - 4) // 2 for side in (height, width))
        self.hidden = nn.Linear(50 * rows * columns, hidden)
        self.add_heads(hidden, embedding, logits, unit_length)

    def activations(self, images: Tensor) -> tuple[list[Tensor], Tensor]:
        """Both pooled convolutions and the hidden layer, which is the features.

        Args:
            images: (N, C, H, W) in [0, 1].

        Returns:
            The three of them, and the features (N, hidden).
        """
        first = max_pool2d(relu(self.conv1(images * 2 - 1)), 2)
        second = max_pool2d(relu(self.conv2(first)), 2)
        features = relu(self.hidden(torch.flatten(second, 1)))
        return [first, second, features], features
