"""VGG-13 (Simonyan and Zisserman, ICLR 2015, configuration B) in the two forms that were used for
32 x 32 images."""

import math
from typing import Literal

import torch
from torch import Tensor, nn

from knowbound.backbones.backbone import Backbone

Variant = Literal["paper", "ccag"]

STAGES = (64, 128, 256, 512, 512)
"""Channels of the two convolutions of each stage."""
DROPOUT = {"paper": 0.2, "ccag": 0.5}
"""Share of the hidden units dropped; the paper's released settings say it as a keep probability of
0.8."""


class VGG13(Backbone):
    """Outputs of images (N, channels, 32, 32) in [0, 1].

    Five stages of two 3x3 convolutions with ReLU, each ended by a 2x2 pool, so that 512 numbers are
    left; two layers of ``hidden`` units, each with ReLU and dropout; a linear layer.  ``variant``
    says whose last pool, dropout and initial weights these are:

    - "paper": of the released settings behind Table 1.  Average pool, dropout 0.2, convolutions
      Xavier uniform with biases 0.1, weights and biases of the linear layers from N(0, 0.1).
    - "ccag": of Lee et al. (ICLR 2018).  Max pool, dropout 0.5, convolutions from N(0, sqrt(2 / (9
      x channels out))), weights of the linear layers from N(0, 0.01), all biases 0.

    Pixels enter as they are, not centred or scaled: neither of the two did.

    Args:
        embedding: length of the embedding, or None for no metric head.
        logits: number of classes, or None for no class head.
        unit_length: whether embeddings are scaled to length 1, as some losses compare them.
        variant: ``paper`` or ``ccag``.
        channels: 1 or 3.
        batch_norm: whether it follows each convolution; neither of the two has it.
        hidden: length of the features.
        dropout: another share in [0, 1) than the variant's.
        widen: factor on the convolutions' channels, 1 in both: half of them cost a quarter.

    Raises:
        ValueError: an unknown variant, or a dropout or width that cannot be.
    """

    def __init__(
        self,
        embedding: int | None = None,
        logits: int | None = None,
        *,
        unit_length: bool = False,
        variant: Variant = "paper",
        channels: int = 3,
        batch_norm: bool = False,
        hidden: int = 512,
        dropout: float | None = None,
        widen: float = 1.0,
    ) -> None:
        super().__init__()
        if variant not in DROPOUT:
            raise ValueError(
                f"the variant {variant!r} of VGG-13 was asked for; expected one of "
                f"{', '.join(DROPOUT)}"
            )
        dropout = DROPOUT[variant] if dropout is None else dropout
        if not 0 <= dropout < 1:
            raise ValueError(f"a dropout of {dropout} was asked for; expected a share in [0, 1)")
        if not widen > 0:
            raise ValueError(f"a width of {widen} times was asked for; expected a factor above 0")
        widths = [max(1, round(widen * stage)) for stage in STAGES]
        self.settings = {
            "embedding": embedding,
            "logits": logits,
            "unit_length": unit_length,
            "variant": variant,
            "channels": channels,
            "batch_norm": batch_norm,
            "hidden": hidden,
            "dropout": dropout,
            "widen": widen,
        }
        self.stages = nn.Sequential(
            *_stages(widths, channels, batch_norm, average=variant == "paper")
        )
        self.hidden = nn.Sequential(
            *(nn.Linear(widths[-1], hidden), nn.ReLU(), nn.Dropout(dropout)),
            *(nn.Linear(hidden, hidden), nn.ReLU(), nn.Dropout(dropout)),
        )
        self.add_heads(hidden, embedding, logits, unit_length)
        self.apply(_draw_paper if variant == "paper" else _draw_ccag)

    def activations(self, images: Tensor) -> tuple[list[Tensor], Tensor]:
        """The pooled maps of each stage and both hidden layers.

        Args:
            images: (N, C, 32, 32) in [0, 1].

        Returns:
            All seven, and the features (N, hidden): the second hidden layer, after ReLU and
            dropout.

        Raises:
            ValueError: images of another size.
        """
        if images.shape[2:] != (32, 32):
            raise ValueError(
                f"VGG-13 was given images of {' x '.join(map(str, images.shape[2:]))}; expected "
                "32 x 32"
            )
        blocks, maps = [], images
        for layer in self.stages:
            maps = layer(maps)
            if isinstance(layer, nn.MaxPool2d | nn.AvgPool2d):
                blocks.append(maps)
        first = self.hidden[:3](torch.flatten(maps, 1))
        second: Tensor = self.hidden[3:](first)
        return [*blocks, first, second], second


def _stages(
    widths: list[int], channels_in: int, batch_norm: bool, average: bool
) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for width in widths:
        for _ in range(2):
            norm = [nn.BatchNorm2d(width)] if batch_norm else []
            layers += [nn.Conv2d(channels_in, width, 3, padding=1), *norm, nn.ReLU()]
            channels_in = width
        layers.append(nn.MaxPool2d(2))
    if average:
        layers[-1] = nn.AvgPool2d(2)
    return layers


def _draw_paper(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.xavier_uniform_(module.weight)
        nn.init.constant_(_bias(module), 0.1)
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.1)
        nn.init.normal_(module.bias, std=0.1)


def _draw_ccag(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.normal_(module.weight, std=math.sqrt(2 / (9 * module.out_channels)))
        nn.init.zeros_(_bias(module))
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.01)
        nn.init.zeros_(module.bias)


def _bias(module: nn.Conv2d) -> Tensor:
    assert module.bias is not None  # every convolution here has one
    return module.bias
