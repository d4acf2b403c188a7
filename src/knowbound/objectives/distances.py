"""Embeddings of a batch -> how far apart, or how alike, every two of them are."""

import torch
from torch import Tensor
from torch.nn.functional import normalize


def distances(embeddings: Tensor) -> Tensor:
    """(B, D) -> (B, B) Euclidean distances; the gradient is 0 where two embeddings coincide.

    By differences, not by products: |x|^2 + |y|^2 - 2xy loses the small distances.
    """
    return torch.cdist(embeddings, embeddings, compute_mode="donot_use_mm_for_euclid_dist")


def unit_length(embeddings: Tensor) -> Tensor:
    """(B, D) -> (B, D) scaled to Euclidean length 1; an embedding of zeros stays as it is."""
    return normalize(embeddings, dim=1)


def cosines(embeddings: Tensor) -> Tensor:
    """(B, D) -> (B, B) cosine similarities, between -1 and 1 up to rounding."""
    unit = unit_length(embeddings)
    return unit @ unit.T
