"""What the tests of the objectives that learn from out images share: batches, and the loss
literally."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

BATCHES = {
    "in and out": [0, 2, -1, 1, -2, -1, 2],
    "no outs": [0, 2, 1, 1],
    "no ins": [-1, -1, -2],
    "one in": [1],
    "one out": [-1],
    "nothing": [],
}


def softmax(logits: Sequence[float]) -> list[float]:
    largest = max(logits)
    powers = [math.exp(z - largest) for z in logits]
    return [p / sum(powers) for p in powers]


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def literal_cross_entropy(logits: Tensor, labels: Sequence[int]) -> float:
    return mean(
        [
            -math.log(softmax(row)[label])
            for row, label in zip(logits.tolist(), labels, strict=True)
            if label >= 0
        ]
    )


def random_logits(labels: Sequence[int], *, classes: int = 3, scale: float = 3.0) -> Tensor:
    """(B, classes) float64, of which gradients are wanted."""
    generator = torch.Generator().manual_seed(len(labels))
    return (
        scale * torch.randn(len(labels), classes, generator=generator, dtype=torch.float64)
    ).requires_grad_()
