"""Embeddings of a batch -> how far apart, or how alike, every two of them are."""

import torch
from torch import Tensor
from torch.nn.functional import normalize


def distances(embeddings: Tensor) -> Tensor:
    """Euclidean distances; the gradient is 0 where two embeddings coincide.

    By differences, not by products: |x|^2 + |y|^2 - 2xy loses the small distances.

    Args:
        embeddings: (B, D).

    Returns:
        (B, B).
    """
    return torch.cdist(embeddings, embeddings, compute_mode="donot_use_mm_for_euclid_dist")


def unit_length(embeddings: Tensor) -> Tensor:
    """The embeddings scaled to Euclidean length 1; an embedding of zeros stays as it is.

    Args:
        embeddings: (B, D).

    Returns:
        (B, D).
    """
    return normalize(embeddings, dim=1)


def cosines(embeddings: Tensor) -> Tensor:
    """Cosine similarities, between -1 and 1 up to rounding.

    Args:
        embeddings: (B, D).

    Returns:
        (B, B).
    """
    unit = unit_length(embeddings)
    return unit @ unit.T
