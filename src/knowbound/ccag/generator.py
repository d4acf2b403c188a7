"""The network that makes images from noise (that of DCGAN, Radford et al. 2016, for 32 x 32)."""

import torch
from torch import Tensor, nn
from torch.func import functional_call


class Generator(nn.Module):
    """Images (N, 3, 32, 32) in (0, 1) of standard normal noise (N, noise).

    Four transposed convolutions with 4 x 4 kernels, without biases: 1 -> 4 -> 8 -> 16 -> 32 pixels
    of 8, 4 and 2 times ``width`` and at last 3 channels; batch norm and ReLU after the first three,
    a sigmoid at the end.
    """

    def __init__(self, noise: int = 100, width: int = 64) -> None:
        super().__init__()
        self.settings = {"noise": noise, "width": width}
        self.layers = nn.Sequential(
            nn.ConvTranspose2d(noise, 8 * width, 4, bias=False),
            *(nn.BatchNorm2d(8 * width), nn.ReLU()),
            nn.ConvTranspose2d(8 * width, 4 * width, 4, stride=2, padding=1, bias=False),
            *(nn.BatchNorm2d(4 * width), nn.ReLU()),
            nn.ConvTranspose2d(4 * width, 2 * width, 4, stride=2, padding=1, bias=False),
            *(nn.BatchNorm2d(2 * width), nn.ReLU()),
            nn.ConvTranspose2d(2 * width, 3, 4, stride=2, padding=1, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, noise: Tensor) -> Tensor:
        """An image for each draw of noise.

        Args:
            noise: (N, noise).

        Returns:
            (N, 3, 32, 32) in (0, 1).
        """
        images: Tensor = self.layers(noise[:, :, None, None])
        return images


def draw_sheet(generator: Generator, noise: Tensor) -> Tensor:
    """Images to look at, which leave no trace in the generator.

    In training mode the noise is normalised among itself, as the classifier sees the images; the
    running means and variances are copies, so that looking does not change the training.

    Args:
        generator: in either mode.
        noise: (N, noise).

    Returns:
        (N, 3, 32, 32) uint8.
    """
    with torch.no_grad():
        images = without_trace(generator, noise)
    return (images * 255).round().to(torch.uint8)


def without_trace(network: nn.Module, inputs: Tensor) -> Tensor:
    """What the network gives; its running means and variances stay as they are, also in training
    mode.

    Args:
        network: with or without batch norm.
        inputs: as it takes them.
    """
    running = {name: value.clone() for name, value in network.named_buffers()}
    outputs: Tensor = functional_call(network, running, (inputs,))
    return outputs
