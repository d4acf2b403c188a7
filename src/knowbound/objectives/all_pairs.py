"""Eq. 1 over all pairs of a batch in blocks: time of two matrix products, memory linear in the
batch.

The scalar's gradient with respect to the embeddings is itself a sum over pairs,

    dL/dx_i = sum_j w_ij (x_i - x_j),    w_ij = 1 for the same class, -(margin - D_ij) / D_ij for
    others within the margin,

so it is summed in the same pass as the loss, block by block, and only a (B, D) tensor is kept for
the backward pass. For the squared loss the pull term needs no pairs: the sum of D^2 over the pairs
of a class of n images is n times the sum of squared distances to the class mean.

Everything inside is float64: |x|^2 + |y|^2 - 2xy cancels where two embeddings are close, and in
float32 the direction of the pair's gradient would be lost just where Eq. 1 pushes hardest.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from knowbound.labels import OUT

BLOCK = 512
"""Rows of a block: 512 x 512 numbers (2 MB) stay in the cache."""
TINY = 1e-12
"""Least squared distance: keeps 1 / D finite where two embeddings coincide."""


def all_pairs_loss(
    embeddings: Tensor,
    labels: Tensor,
    margin: float,
    *,
    squared: bool = True,
    same_share: float | None = None,
) -> Tensor:
    """Mean of Eq. 1 over all pairs of a batch but those of two out-of-distribution images.

    Without ``same_share`` it is the same number as ``contrastive_loss`` over ``all_pairs``.  It can
    be differentiated once.

    Args:
        embeddings: (B, D) float32 or float64.
        labels: (B,) int, below 0 for out-of-distribution images.
        margin: a distance, above 0.
        squared: Eq. 1, else the linear variant.
        same_share: total weight of same-class pairs, between 0 and 1; the other pairs share the
            remainder.  None: every pair weighs the same.

    Returns:
        A scalar; 0 where there is no pair.

    Raises:
        ValueError: shapes that do not fit together.
    """
    if embeddings.ndim != 2 or labels.shape != embeddings.shape[:1]:
        raise ValueError(
            f"embeddings of shape {tuple(embeddings.shape)} came with labels of shape "
            f"{tuple(labels.shape)}; expected (B, D) and (B,)"
        )
    if not len(labels):
        return embeddings.sum() * 0.0
    loss: Tensor = _AllPairs.apply(embeddings, labels.clamp(min=OUT), margin, squared, same_share)  # type: ignore[no-untyped-call]
    return loss


class _AllPairs(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        embeddings: Tensor,
        labels: Tensor,
        margin: float,
        squared: bool,
        same_share: float | None,
    ) -> Tensor:
        wants_gradient = embeddings.requires_grad
        x = embeddings.detach()
        if x.device.type != "mps":  # which has no float64
            x = x.double()
        x = x - x.mean(dim=0)  # distances stay, and there is less to cancel
        gradient = torch.zeros_like(x) if wants_gradient else None
        total = torch.zeros((), dtype=x.dtype, device=x.device)
        pull, push = _weights(labels, same_share)
        if squared:
            total += _pull(x, labels, pull, gradient)
        total += _blocks(x, labels, margin, squared, pull, push, gradient)
        if gradient is not None:
            ctx.save_for_backward(gradient.to(embeddings.dtype))
        return (0.5 * total).to(embeddings.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * grad_outputs[0], None, None, None, None


def _weights(labels: Tensor, same_share: float | None) -> tuple[float, float]:
    """What one same-class pair and one other pair weigh in the mean."""
    images, outs = len(labels), int((labels < 0).sum())
    sizes = torch.bincount(labels[labels >= 0])
    same = int((sizes * (sizes - 1)).sum()) // 2
    different = images * (images - 1) // 2 - outs * (outs - 1) // 2 - same
    if same_share is None:
        return 1 / max(same + different, 1), 1 / max(same + different, 1)
    return same_share / max(same, 1), (1 - same_share) / max(different, 1)


def _pull(x: Tensor, labels: Tensor, each: float, gradient: Tensor | None) -> Tensor:
    """``each`` times the sum of D^2 over same-class pairs, in closed form; the gradient of half of
    it is added to ``gradient``."""
    inside = labels >= 0
    group = torch.where(
        inside, labels, labels.max().clamp(min=0) + 1
    )  # out-of-distribution images in a group of their own, left out below
    count = torch.bincount(group).to(x.dtype)
    sums = torch.zeros((len(count), x.shape[1]), dtype=x.dtype, device=x.device).index_add_(
        0, group, x
    )
    from_mean = (x - (sums / count.clamp(min=1)[:, None])[group]) * inside[:, None]
    weight = each * count[group][:, None]
    if gradient is not None:
        gradient += weight * from_mean
    return (weight * from_mean.square()).sum()


def _blocks(
    x: Tensor,
    labels: Tensor,
    margin: float,
    squared: bool,
    pull: float,
    push: float,
    gradient: Tensor | None,
) -> Tensor:
    """Sum over the pairs that need their distance, each visited once; the gradient of half that sum
    is added to ``gradient``.

    pull, push: what a same-class pair and another one weigh.
    """
    norms, ones = x.square().sum(dim=1, keepdim=True), torch.ones_like(x[:, :1])
    left = torch.cat(
        [-2 * x, norms, ones], dim=1
    )  # left @ right.T = |x|^2 + |y|^2 - 2xy in one product
    right = torch.cat([x, ones, norms], dim=1)
    with_one = torch.cat(
        [x, ones], dim=1
    )  # weights @ with_one = weighted sum of embeddings, and sum of weights
    total = torch.zeros((), dtype=x.dtype, device=x.device)
    for top in range(0, len(x), BLOCK):
        rows = slice(top, top + BLOCK)
        for start in range(top, len(x), BLOCK):
            columns = slice(start, start + BLOCK)
            squared_distance = (left[rows] @ right[columns].T).clamp_(min=TINY)
            equal = (
                labels[rows, None] == labels[None, columns]
            )  # same class, or both out-of-distribution
            if squared:
                part, weights = _push_squared(squared_distance, equal, margin, gradient is not None)
            else:
                same = equal & (labels[rows, None] >= 0)
                part, weights = _linear(squared_distance, equal, same, margin, pull / push)
            diagonal = start == top  # holds each pair twice, and each image with itself at weight 0
            total += part * (0.5 * push if diagonal else push)
            if gradient is not None:
                _add_gradient(
                    gradient, x, with_one, weights, push, rows, rows if diagonal else columns
                )
    return total


def _push_squared(
    squared_distance: Tensor, equal: Tensor, margin: float, wants_weights: bool
) -> tuple[Tensor, Tensor]:
    """(sum of max(0, margin - D)^2, weights -(margin - D) / D) over the pairs of a block that are
    not equal.  In place."""
    distance = squared_distance.sqrt_()
    slack = torch.rsub(distance, margin).clamp_(min=0).masked_fill_(equal, 0)
    flat = slack.view(-1)
    part = torch.dot(flat, flat)
    return part, slack.div_(distance).neg_() if wants_weights else slack


def _linear(
    squared_distance: Tensor, equal: Tensor, same: Tensor, margin: float, times: float
) -> tuple[Tensor, Tensor]:
    """(sum of D, so many times, or max(0, margin - D), and weights times/(2D) or -1/(2D)) over the
    pairs of a block.

    The weights are half as large as in ``_push_squared`` for the same sum: D^2 has a 2 in its
    derivative, D has not.
    """
    distance = squared_distance.sqrt()
    own = (
        squared_distance <= TINY
    )  # an image with itself, or two that coincide: no direction to move in
    slack = torch.rsub(distance, margin).clamp_(min=0).masked_fill_(equal, 0)
    pull = torch.where(same & ~own, distance, 0.0)
    part = times * pull.sum() + slack.sum()
    sign = times * (same & ~own).to(distance.dtype) - (slack > 0).to(distance.dtype)
    return part, (0.5 * sign).div_(distance)


def _add_gradient(
    gradient: Tensor,
    x: Tensor,
    with_one: Tensor,
    weights: Tensor,
    times: float,
    rows: slice,
    columns: slice,
) -> None:
    """gradient_i += times sum_j w_ij (x_i - x_j) for the rows, and the same for the columns if they
    are other images."""
    sums = weights @ (times * with_one[columns])
    gradient[rows] += x[rows] * sums[:, -1:] - sums[:, :-1]
    if rows != columns:
        sums = weights.T @ (times * with_one[rows])
        gradient[columns] += x[columns] * sums[:, -1:] - sums[:, :-1]
