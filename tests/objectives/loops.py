"""What the tests of the metric losses share: a batch, and pairs and triplets by loops over images."""

import math
from collections.abc import Sequence

import torch
from hypothesis import strategies as st
from torch import Tensor

LABELS = {
    "in and out": [0, 0, 1, 2, -1, 1, -2, -1, 2, 0],
    "no out-of-distribution images": [0, 1, 1, 0, 1],
    "out-of-distribution images only": [-1, -1, -2],
    "one class": [1, 1, 1],
    "one class and others": [1, 1, -1, 1, -1],
    "no two of a class": [0, 1, 2, -1],
    "nothing": [],
}


def batch(labels: Sequence[int], dim: int = 4, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Embeddings (B, dim) float64, of which gradients are wanted, and the labels."""
    generator = torch.Generator().manual_seed(seed)
    embeddings = torch.randn(len(labels), dim, generator=generator, dtype=torch.float64)
    return embeddings.requires_grad_(), torch.tensor(labels, dtype=torch.int64)


def pairs(labels: Sequence[int]) -> list[tuple[int, int]]:
    """Every two images of one class, both ways."""
    size = range(len(labels))
    return [(i, j) for i in size for j in size if i != j and labels[i] == labels[j] >= 0]


def triplets(labels: Sequence[int]) -> list[tuple[int, int, int]]:
    """Every anchor with every positive and every negative."""
    return [(a, p, n) for a, p in pairs(labels) for n in others(labels, a)]


def others(labels: Sequence[int], anchor: int) -> list[int]:
    """The negatives of an anchor."""
    return [n for n in range(len(labels)) if labels[n] != labels[anchor]]


def unit(rows: Sequence[Sequence[float]]) -> list[list[float]]:
    return [[x / math.hypot(*row) for x in row] for row in rows]


def dot(x: Sequence[float], y: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(x, y, strict=True))


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def batches(least: int = 0) -> st.SearchStrategy[tuple[Tensor, Tensor]]:
    """Embeddings and labels of at most 14 images, out-of-distribution ones among them; ``least``:
    images of each of two classes at least."""
    labels = st.lists(st.integers(-2, 2), max_size=10).map(lambda more: [0, 1] * least + more)
    return st.builds(batch, labels, dim=st.integers(2, 5), seed=st.integers(0, 2**31))
