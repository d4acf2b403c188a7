"""A labelled batch -> pairs.  Two out-of-distribution images are never a pair: they are not one
class and must not be grouped (Section 3.2)."""

import torch
from torch import Tensor


def keep_pairs(first_labels: Tensor, second_labels: Tensor) -> tuple[Tensor, Tensor]:
    """Which pairs are of one class, and which count; broadcasting.

    Args:
        first_labels: in 0..C-1, or below 0 for out-of-distribution images.
        second_labels: of the other images.

    Returns:
        same, bool, the paper's y = 0: both in-distribution and of one class; counts, bool, the
        paper's z = 1 (Eq. 2): not both out-of-distribution.
    """
    inside = (first_labels >= 0) | (second_labels >= 0)
    return (first_labels == second_labels) & inside, inside


def all_pairs(labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Every pair of the batch that counts.

    Args:
        labels: (B,) in 0..C-1, or below 0 for out-of-distribution images.

    Returns:
        Indices (P,) of the first and of the second image, and whether they are of one class (P,).
    """
    first, second = torch.triu_indices(len(labels), len(labels), 1, device=labels.device)
    same, counts = keep_pairs(labels[first], labels[second])
    return first[counts], second[counts], same[counts]


def partner_pairs(labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Image i with image i + B/2, where the pair counts: the authors' pairs.

    Args:
        labels: (B,) in 0..C-1, or below 0 for out-of-distribution images.

    Returns:
        Indices (P,) of the first and of the second image, and whether they are of one class (P,).
    """
    half = len(labels) // 2
    first = torch.arange(half, device=labels.device)
    same, counts = keep_pairs(labels[:half], labels[half : 2 * half])
    return first[counts], first[counts] + half, same[counts]
