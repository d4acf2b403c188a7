"""A labelled batch -> anchors, their positives and their negatives, under ODM's rule (Section 3.2):
an out-of-distribution image is never an anchor and never a positive; it may be a negative.

So two out-of-distribution images never meet in one term of a loss.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

BLOCK = 2**22
"""Numbers of a (pairs, B) block: 16 MB of float32."""


def positive_pairs(labels: Tensor, *, both_ways: bool = True) -> tuple[Tensor, Tensor]:
    """(anchor, positive), indices (P,) and (P,): two different images of one class.

    Args:
        labels: (B,), below 0 for out-of-distribution images.
        both_ways: whether each of the two is the anchor once; else the earlier one.
    """
    same = (labels[:, None] == labels[None]) & (labels[:, None] >= 0)
    if both_ways:
        same.fill_diagonal_(False)
    else:
        same.triu_(1)
    anchor, positive = same.nonzero(as_tuple=True)
    return anchor, positive


def negatives(labels: Tensor) -> Tensor:
    """(B, B) bool: whether image n (column) is a negative of anchor a (row).

    Args:
        labels: (B,), below 0 for out-of-distribution images.
    """
    return (labels[:, None] != labels[None]) & (labels[:, None] >= 0)


def log_sum_exp(values: Tensor, counted: Tensor) -> Tensor:
    """Row-wise log of the sum of exp over the values that count, (R,); hugely negative for none.

    Args:
        values: (R, B).
        counted: (R, B) bool.
    """
    least = torch.finfo(values.dtype).min / 4  # finite: the gradient of a row of -inf is no number
    return values.masked_fill(~counted, least).logsumexp(dim=1)


def sum_in_blocks(
    part: Callable[[Tensor, Tensor], Tensor], anchor: Tensor, positive: Tensor, width: int
) -> Tensor:
    """The sum of ``part`` over blocks of pairs, so that no tensor of all triplets is ever held.

    Args:
        part: (anchor, positive), indices (P,) each -> a tensor of sums, whatever the number of
            pairs; computed again in the backward pass where there are several blocks.
        anchor, positive: (P,) indices.
        width: how many numbers ``part`` needs for one pair.
    """
    rows = max(1, BLOCK // max(1, width))
    if len(anchor) <= rows:
        return part(anchor, positive)
    blocks = zip(anchor.split(rows), positive.split(rows), strict=True)
    sums: list[Tensor] = [checkpoint(part, *block, use_reentrant=False) for block in blocks]
    return torch.stack(sums).sum(dim=0)


def mean_over_triplets(
    values: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]], labels: Tensor
) -> Tensor:
    """The mean over the triplets that count, a scalar; 0, with gradients, for none.

    Args:
        values: (anchor, positive), indices (P,) each -> (P, B) values of the triplets with every
            image as the negative, and (P, B) bool, which of them count.
        labels: (B,), below 0 for out-of-distribution images.
    """

    def part(anchor: Tensor, positive: Tensor) -> Tensor:
        value, counted = values(anchor, positive)
        return torch.stack([value.where(counted, 0.0).sum(), counted.sum().to(value.dtype)])

    sums = sum_in_blocks(part, *positive_pairs(labels), width=len(labels))
    return sums[0] / sums[1].detach().clamp(min=1)
