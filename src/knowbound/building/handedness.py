"""Which classes look the same in a mirror: a shoe does, a left shoe does not."""

import torch
from torch import Tensor
from torch.nn.functional import normalize

from knowbound.detectors.detector import class_means

HANDED = 0.1
"""Share of a class's images that may be taken for another class in a mirror."""


def without_handedness(plain: Tensor, mirrored: Tensor, labels: Tensor) -> Tensor:
    """Which classes look the same in a mirror, as the network sees them.

    Those whose mirrored images are nearest to the mean of their own class hardly less often than
    the images themselves are to the mean of the others of it.

    Args:
        plain: (N, F) features.
        mirrored: (N, F) those of the mirrored images.
        labels: (N,) in 0..C-1.

    Returns:
        (C,) bool.
    """
    units, turned = (normalize(rows.double(), dim=1) for rows in (plain, mirrored))
    means = class_means(units, labels)
    counts = torch.bincount(labels).double()
    own = counts[labels][:, None]
    others = (means[labels] * own - units) / (own - 1)  # the mean of its class without the image

    def right(rows: Tensor) -> Tensor:
        apart = torch.cdist(rows, means)
        apart[torch.arange(len(rows)), labels] = (rows - others).norm(dim=1)
        return apart.argmin(dim=1) == labels

    lost = right(units).double() - right(turned).double()
    return class_means(lost[:, None], labels)[:, 0] <= HANDED
