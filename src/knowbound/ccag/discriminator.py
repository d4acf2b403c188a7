"""The network that tells images of the training set from generated ones."""

from torch import Tensor, nn


class Discriminator(nn.Module):
    """One logit for each image (N, 3, 32, 32) in [0, 1], high for a real image; its sigmoid is the
    published network's output.

    Four convolutions with 4 x 4 kernels, without biases: 32 -> 16 -> 8 -> 4 -> 1 pixels of 2, 4 and
    8 times ``width`` and at last 1 channel; LeakyReLU 0.2 after the first three, batch norm on the
    middle two.
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.settings = {"width": width}
        self.layers = nn.Sequential(
            nn.Conv2d(3, 2 * width, 4, stride=2, padding=1, bias=False),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 4 * width, 4, stride=2, padding=1, bias=False),
            *(nn.BatchNorm2d(4 * width), nn.LeakyReLU(0.2)),
            nn.Conv2d(4 * width, 8 * width, 4, stride=2, padding=1, bias=False),
            *(nn.BatchNorm2d(8 * width), nn.LeakyReLU(0.2)),
            nn.Conv2d(8 * width, 1, 4, bias=False),
        )

    def forward(self, images: Tensor) -> Tensor:
        """How real each image looks.

        Args:
            images: (N, 3, 32, 32) in [0, 1].

        Returns:
            (N,) logits.
        """
        logits: Tensor = self.layers(images)
        return logits.flatten()
