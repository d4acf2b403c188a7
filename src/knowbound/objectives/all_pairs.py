"""Eq. 1 over all pairs of a batch in blocks: time of two matrix products, memory linear in the
batch.

The scalar's gradient with respect to the embeddings is itself a sum over pairs,

    dL/dx_i = sum_j w_ij (x_i - x_j)
    w_ij = 1                           for the same class
    w_ij = -(margin - D_ij) / D_ij     for others within the margin

so it is summed in the same pass as the loss, block by block, and only a (B, D) tensor is kept for
the backward pass. For the squared loss the pull term needs no pairs: the sum of D^2 over the pairs
of a class of n images is n times the sum of squared distances to the class mean.

Everything inside is float64: |x|^2 + |y|^2 - 2xy cancels where two embeddings are close, and in
float32 the direction of the pair's gradient would be lost just where Eq. 1 pushes hardest.  Where
it cancels in float64 too, the few pairs so close are taken out of the products and computed from
their differences, so that loss and gradient are those of the plain loss at any distance.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from knowbound.labels import OUT

BLOCK = 512
"""Rows of a block: 512 x 512 numbers (2 MB) stay in the cache."""
CLOSE = 1e-6
"""A squared distance of at most so much of an embedding's own square is computed from the
difference: the products leave it fewer than about nine digits."""

Law = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Distances D and which pairs are of the same class -> the sum of their terms, and of each pair
minus half of its term's derivative: how hard it is pushed apart."""


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
        raw = embeddings.detach()
        if raw.device.type != "mps":  # which has no float64
            raw = raw.double()
        gradient = torch.zeros_like(raw) if wants_gradient else None
        total = torch.zeros((), dtype=raw.dtype, device=raw.device)
        pull, push = _weights(labels, same_share)
        if squared:
            total += _pull(raw, labels, pull, gradient)
            law: Law = partial(_push_squared, margin)
        else:
            law = partial(_linear, margin, pull / push)
        total += _blocks(raw, labels, law, squared, push, gradient)
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
    raw: Tensor, labels: Tensor, law: Law, squared: bool, push: float, gradient: Tensor | None
) -> Tensor:
    """Sum over the pairs that need their distance, each visited once; the gradient of half that sum
    is added to ``gradient``.

    squared: same-class pairs need none; push: what a pair that is not of the same class weighs.
    """
    x = raw - raw.mean(dim=0)  # distances stay, and there is less to cancel
    norms, ones = x.square().sum(dim=1, keepdim=True), torch.ones_like(x[:, :1])
    left = torch.cat(
        [-2 * x, norms, ones], dim=1
    )  # left @ right.T = |x|^2 + |y|^2 - 2xy in one product
    right = torch.cat([x, ones, norms], dim=1)
    with_one = torch.cat(
        [x, ones], dim=1
    )  # weights @ with_one = weighted sum of embeddings, and sum of weights
    limits, kinds = CLOSE * norms, labels.int()  # half as wide: compared twice as fast
    far = torch.finfo(x.dtype).max / 16  # beyond any margin; roots of infinity take twice as long
    total = torch.zeros((), dtype=x.dtype, device=x.device)
    for top in range(0, len(x), BLOCK):
        rows = slice(top, top + BLOCK)
        for start in range(top, len(x), BLOCK):
            columns = slice(start, start + BLOCK)
            diagonal = start == top  # holds each pair twice
            squared_distance = left[rows] @ right[columns].T
            same, unused = _kinds(kinds[rows], kinds[columns], diagonal, squared)
            squared_distance.masked_fill_(unused, far)
            weight = 0.5 * push if diagonal else push
            if (squared_distance.amin(dim=1, keepdim=True) <= limits[rows]).any():
                close = squared_distance <= limits[rows]
                pairs = close.nonzero() + torch.tensor([top, start], device=x.device)
                total += weight * _close_pairs(
                    raw, pairs, same[close], law, push, gradient, diagonal
                )
                same = same & ~close
                squared_distance.masked_fill_(close, far)
            distance = squared_distance.sqrt_()
            terms, strength = law(distance, same)
            total += weight * terms
            if gradient is not None:
                weights = strength.div_(distance)
                _add_gradient(
                    gradient, x, with_one, weights, -push, rows, rows if diagonal else columns
                )
    return total


def _kinds(first: Tensor, second: Tensor, diagonal: bool, squared: bool) -> tuple[Tensor, Tensor]:
    """Of the pairs of a block (R, C) with these labels: those of the same class, as far as they
    need their distance, and those to leave out."""
    equal = first[:, None] == second[None]  # same class, or two out images
    if squared:
        return equal, equal  # no law looks at the first
    same = equal & (first >= 0)[:, None]
    if diagonal:
        same.fill_diagonal_(False)  # an image with itself
    return same, equal & ~same


def _close_pairs(
    raw: Tensor,
    pairs: Tensor,
    same: Tensor,
    law: Law,
    push: float,
    gradient: Tensor | None,
    diagonal: bool,
) -> Tensor:
    """The sum of the terms of pairs (K, 2) whose distance comes from their difference; their
    gradient is added to ``gradient``, 0 where both embeddings coincide.

    diagonal: each pair is there in both orders, and the gradient of its first image is added.
    """
    total = torch.zeros((), dtype=raw.dtype, device=raw.device)
    at_once = max(1, BLOCK * BLOCK // raw.shape[1])
    for (first, second), alike in zip(
        (part.T for part in pairs.split(at_once)), same.split(at_once), strict=True
    ):
        difference = raw[first] - raw[second]
        distance = torch.linalg.vector_norm(difference, dim=1)
        terms, strength = law(distance, alike)
        total += terms
        if gradient is not None:
            least = torch.finfo(distance.dtype).tiny
            direction = difference / distance.clamp(min=least)[:, None]
            force = push * strength[:, None] * direction
            gradient.index_add_(0, first, -force)
            if not diagonal:
                gradient.index_add_(0, second, force)
    return total


def _push_squared(margin: float, distance: Tensor, same: Tensor) -> tuple[Tensor, Tensor]:
    """The law max(0, margin - D)^2 of pairs that are not of the same class."""
    del same  # their D^2 is summed in closed form
    slack = torch.rsub(distance, margin).clamp_(min=0)
    flat = slack.view(-1)
    return torch.dot(flat, flat), slack


def _linear(margin: float, times: float, distance: Tensor, same: Tensor) -> tuple[Tensor, Tensor]:
    """The law D, so many times, of the same class, and max(0, margin - D) of others."""
    slack = torch.rsub(distance, margin).clamp_(min=0).masked_fill_(same, 0)
    terms = times * torch.where(same, distance, 0.0).sum() + slack.sum()
    pushed = (slack > 0).to(distance.dtype) - times * same.to(distance.dtype)
    return terms, 0.5 * pushed


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
