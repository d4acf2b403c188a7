"""The unit of each feature."""

import torch
from torch import Tensor


def inverse_deviations(vectors: Tensor, centred: Tensor) -> Tensor:
    """(D,) float64: 1 / standard deviation of each feature, 0 for one that does not vary.

    Multiplied by them, features no longer depend on the unit each is measured in.  A deviation of
    less than the rounding of the largest value is none.

    Args:
        vectors: (N, D) in the precision that they came in.
        centred: (N, D) the same minus what they vary about: one mean, or that of each class.
    """
    deviation = centred.double().square().mean(dim=0).sqrt()
    rounding = torch.finfo(vectors.dtype).eps * vectors.abs().amax(dim=0).double()
    varies = deviation > rounding
    return torch.where(varies, 1 / torch.where(varies, deviation, 1.0), 0.0)
