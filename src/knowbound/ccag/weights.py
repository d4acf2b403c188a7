"""The weights the generator and the discriminator begin with."""

import torch
from torch import nn


def draw_weights(network: nn.Module, rng: torch.Generator) -> None:
    """Draw convolutions from N(0, 0.02) and batch norm weights from N(1, 0.02), in place; batch
    norm biases become 0.

    Args:
        network: whose weights are drawn.
        rng: draws them.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, 0.02, generator=rng)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02, generator=rng)
            nn.init.zeros_(module.bias)
