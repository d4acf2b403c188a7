"""A covariance for few images and many features (Ledoit and Wolf, J. Multivariate Anal. 2004)."""

import torch
from torch import Tensor


def ledoit_wolf(centred: Tensor) -> tuple[Tensor, Tensor]:
    """The covariance (1 - delta) S + delta mu I and the shrinkage delta in 0..1 (Eq. 14).

    S is the covariance divided by N, mu the mean of its diagonal.  delta = b^2 / d^2 with d^2 the
    squared distance of S from mu I and b^2 the expected one of S from the true covariance,
    estimated as the mean squared distance of one vector's x x' from S, over N, and at most d^2.

    Args:
        centred: (N, D) float64, minus what they vary about.

    Returns:
        The covariance (D, D), of full rank unless all vectors are 0 or delta is, and delta ().
    """
    count, dim = centred.shape
    sample = centred.T @ centred / count
    mean = sample.diagonal().mean()
    target = mean * torch.eye(dim, dtype=centred.dtype, device=centred.device)
    apart = (sample - target).square().sum()
    fourth = centred.square().sum(dim=1).square().mean()  # of |x x'|^2
    expected = ((fourth - sample.square().sum()) / count).clamp(min=0)
    shrinkage = torch.where(apart > 0, (expected / apart).clamp(max=1), 0.0)
    return (1 - shrinkage) * sample + shrinkage * target, shrinkage
