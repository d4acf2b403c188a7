"""Whether an image is of the same sort as the in-distribution images, whatever its class: tells
novelty from anomaly.

The paper leaves the kind of an out image to whoever declares the data set (Section 3.3).  This is
our addition: a new class resembles the known ones in how bright, contrasted and detailed its
pictures are, and noise or another kind of object does not.  It looks at the images alone, so it is
the same for every backbone and detector.
"""

import math
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

SCALES = 3
FLOOR = 1e-3
RIDGE = 1e-3


def image_statistics(images: Tensor) -> Tensor:
    """How bright, contrasted and detailed each image is.

    The mean and the log standard deviation of each channel; at full, half and quarter size the log
    of the mean absolute horizontal and vertical differences and of the root mean square difference.

    Args:
        images: (N, C, H, W) in [0, 1].

    Returns:
        (N, 2C + 9) float64.
    """
    values = [images.mean(dim=(2, 3)), (images.std(dim=(2, 3)) + FLOOR).log()]
    for _ in range(SCALES):
        across, down = images.diff(dim=3), images.diff(dim=2)
        power = (across.square().mean(dim=(1, 2, 3)) + down.square().mean(dim=(1, 2, 3))).sqrt()
        detail = torch.stack(
            [across.abs().mean(dim=(1, 2, 3)), down.abs().mean(dim=(1, 2, 3)), power], dim=1
        )
        values.append((detail + FLOOR).log())
        images = avg_pool2d(images, 2) if min(images.shape[2:]) >= 4 else images
    return torch.cat(values, dim=1).double()


class Likeness(nn.Module):
    """Mahalanobis distance of an image's statistics to those of all in-distribution images
    together, classes aside.

    centre: (S,), precision: (S, S) of the statistics, set by ``fit``; threshold: set by ``fit`` to
    what classes left out of the fit reach, so it says how far a class nobody taught usually lies.
    """

    name = "image statistics"
    reads_images = True
    centre: Tensor
    precision: Tensor
    threshold: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("centre", torch.empty(0, dtype=torch.float64))
        self.register_buffer("precision", torch.empty(0, 0, dtype=torch.float64))
        self.register_buffer("threshold", torch.tensor(float("nan"), dtype=torch.float64))

    def fit(self, statistics: Tensor, labels: Tensor, *, acceptance: float = 0.99) -> Self:
        """Learn from in-distribution images of at least two classes; no out-of-distribution image
        is needed.

        Each class in turn is left out, the others are learned and it is scored.  ``threshold``
        accepts ``acceptance`` of the images of every class treated so.

        Args:
            statistics: (N, S).
            labels: (N,) in 0..C-1.
            acceptance: a share above 0 and below 1.

        Raises:
            ValueError: a single class.
        """
        classes, needed = labels.unique(), []
        if len(classes) < 2:
            raise ValueError(
                f"images of {len(classes)} class were given; expected at least two, to leave each "
                "out in turn"
            )
        for label in classes:
            others = labels != label
            scores = mahalanobis(statistics[~others], *gaussian(statistics[others]))
            needed.append(smallest_accepting(scores, acceptance))
        self.threshold = torch.stack(needed).max()
        self.centre, self.precision = gaussian(statistics)
        return self

    def score(self, images: Tensor) -> Tensor:
        """How unlike the in-distribution images each image is.

        Args:
            images: (N, C, H, W) in [0, 1].

        Returns:
            (N,) float64 distances, higher = less like them.
        """
        return mahalanobis(image_statistics(images), self.centre, self.precision)


def gaussian(statistics: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and inverse covariance, with a ridge so that constant statistics do no harm.

    Args:
        statistics: (N, S).

    Returns:
        (S,) and (S, S).
    """
    centre = statistics.mean(dim=0)
    centred = statistics - centre
    covariance = centred.T @ centred / max(len(statistics) - 1, 1)
    ridge = RIDGE * torch.eye(len(centre), dtype=covariance.dtype, device=covariance.device)
    return centre, torch.linalg.inv(covariance + ridge)


def mahalanobis(statistics: Tensor, centre: Tensor, precision: Tensor) -> Tensor:
    """Mahalanobis distances.

    Args:
        statistics: (N, S).
        centre: (S,).
        precision: (S, S), the inverse covariance.

    Returns:
        (N,).
    """
    centred = statistics - centre
    return ((centred @ precision) * centred).sum(dim=1).clamp(min=0).sqrt()


def smallest_accepting(scores: Tensor, share: float) -> Tensor:
    """The smallest of the scores that at least a share of them do not exceed.

    Args:
        scores: (N,).
        share: above 0 and at most 1.

    Returns:
        A scalar.
    """
    # not torch.quantile, which stops at 16 million values
    return scores.sort().values[math.ceil(share * len(scores) - 1e-9) - 1]
