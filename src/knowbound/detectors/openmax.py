"""OpenMax (Bendale and Boult, CVPR 2016): logits are lowered by how extreme an image is for its
classes; the rest is unknown."""

from typing import Literal, Self

import torch
from torch import Tensor
from torch.nn.functional import normalize

from knowbound.detectors.detector import Detector
from knowbound.detectors.learning import count_classes
from knowbound.detectors.max_softmax import check_logits

Variant = Literal["euclidean", "libmr"]
SHIFT: dict[Variant, float] = {"euclidean": 1.0, "libmr": 10_000.0}
"""The smallest distance of a tail after the shift, before a Weibull distribution is fitted."""
LEAST = 3
"""Distances that a Weibull distribution is fitted to; the two images of a pair are equally far from
their mean."""
STEEP = 50.0
"""Shape, for a shift of 1, where all distances of a class are the same: nearly a step."""
ROUNDING = 1e-9
"""Of the largest distance of a class: distances closer than this share are the same."""
TINY = torch.finfo(torch.float64).tiny


class OpenMax(Detector):
    """Scores an image by log p(unknown) - log p(known) under the softmax of revised logits
    (Algorithm 2).

    Each class has the mean logits of its correctly classified training images and a Weibull
    distribution of the ``tail`` largest distances to it, fitted by maximum likelihood after a shift
    (Algorithm 1).  Of an image's ``alpha`` largest logits, the r-th (r = 0, 1, ...) is multiplied
    by 1 - (alpha - r) / alpha F(distance to its class), and what is taken from them is the logit of
    the unknown.  A class with fewer than three images classified correctly takes all its images.
    The unit of the logits matters: it is the one in which their exponentials are probabilities.

    The first factor, for r = 0, is that of the authors' released program, OSDN; as printed,
    Algorithm 2 begins with (alpha - 1) / alpha.

    Two variants are in use, and their AUROC differs by some tenths of a percent:

    - ``euclidean``: Euclidean distances, shifted so that the smallest of the tail is 1.  The shift
      is that of vast, the later library of the authors' group, which offers this distance beside
      the cosine one.  (pytorch-ood 0.4 shifts it to 10,000.)
    - ``libmr``: as OSDN with the libMR of its time.  The distance is the Euclidean one divided by
      200 plus the cosine one, and the shift makes the smallest of the tail 10,000.  (Later versions
      of libMR shift it to 1.)

    The default is ``euclidean``: the 200 was chosen for networks with 1,000 logits, and with few
    classes it leaves the cosine distance alone.

    Args:
        tail: distances that a distribution is fitted to; 20 in OSDN.
        alpha: logits that are revised; 10 in OSDN.
        variant: see above.

    Raises:
        ValueError: a tail below 3, an alpha below 1, or another variant.
    """

    reads = ("logits",)
    least_images = LEAST
    means: Tensor
    shift: Tensor
    shape: Tensor
    scale: Tensor

    def __init__(self, tail: int = 20, alpha: int = 10, variant: Variant = "euclidean") -> None:
        super().__init__({"tail": tail, "alpha": alpha, "variant": variant})
        if tail < LEAST or alpha < 1:
            raise ValueError(
                f"OpenMax was given the tail {tail} and alpha {alpha}; expected at least {LEAST} "
                "and at least 1"
            )
        if variant not in SHIFT:
            raise ValueError(
                f"the OpenMax variant {variant!r} was given; expected one of {', '.join(SHIFT)}"
            )
        self.tail, self.alpha, self.variant = tail, alpha, variant
        self.register_buffer("means", torch.empty(0, 0, dtype=torch.float64))
        for name in ("shift", "shape", "scale"):
            self.register_buffer(name, torch.empty(0, dtype=torch.float64))

    def fit(self, embeddings: Tensor, labels: Tensor) -> Self:
        """Keep the means (C, C) and Weibull distributions of the classes.

        Args:
            embeddings: (N, C) logits of training images.
            labels: (N,) in 0..C-1.

        Raises:
            ValueError: a class without an image, or logits without one column for each class.
        """
        classes = len(count_classes(labels))
        check_logits(embeddings, labels)
        logits = embeddings.double()
        right = logits.argmax(dim=1) == labels
        means, tails = [], logits.new_full((classes, self.tail), -1.0)
        for label in range(classes):
            mine = (labels == label).nonzero().flatten()
            correct = mine[right[mine]]
            vectors = logits[correct if len(correct) >= LEAST else mine]
            means.append(vectors.mean(dim=0))
            distances = self._distances(vectors, means[-1][None])[:, 0]
            kept = min(self.tail, len(distances))
            tails[label, :kept] = distances.topk(kept).values
        self.means = torch.stack(means)
        self.shift, self.shape, self.scale = fit_tails(tails, SHIFT[self.variant])
        return self

    def revised(self, embeddings: Tensor) -> Tensor:
        """The logit of the unknown class, then the revised ones.

        Args:
            embeddings: logits (N, C).

        Returns:
            (N, 1 + C) float64.
        """
        logits = embeddings.double()
        alpha = min(self.alpha, logits.shape[1])
        shifted = (self._distances(logits, self.means) - self.shift).clamp(min=0)
        extreme = -torch.expm1(-((shifted / self.scale) ** self.shape))
        top = logits.topk(alpha, dim=1).indices
        weight = torch.arange(alpha, 0, -1, dtype=torch.float64, device=logits.device) / alpha
        taken = torch.zeros_like(logits).scatter(
            1, top, logits.gather(1, top) * weight * extreme.gather(1, top)
        )
        return torch.cat([taken.sum(dim=1, keepdim=True), logits - taken], dim=1)

    def score(self, embeddings: Tensor) -> Tensor:
        """A score in the order of p(unknown), but without its ties at 0 and 1.

        Args:
            embeddings: logits (N, C).

        Returns:
            (N,) float64 scores, higher = more out-of-distribution.
        """
        revised = self.revised(embeddings)
        return revised[:, 0] - revised[:, 1:].logsumexp(dim=1)

    def classify(self, embeddings: Tensor) -> Tensor:
        """The class of the largest logit, as it was before it was revised.

        Args:
            embeddings: logits (N, C).

        Returns:
            (N,) int64, in 0..C-1.
        """
        return embeddings.argmax(dim=1)

    def _distances(self, logits: Tensor, means: Tensor) -> Tensor:
        """(N, C) and (M, C) -> (N, M) float64."""
        euclidean = torch.cdist(logits, means, compute_mode="donot_use_mm_for_euclid_dist")
        if self.variant == "euclidean":
            return euclidean
        cosine = 1 - normalize(logits, dim=1, eps=TINY) @ normalize(means, dim=1, eps=TINY).T
        return euclidean / 200 + cosine


def fit_tails(tails: Tensor, smallest: float) -> tuple[Tensor, Tensor, Tensor]:
    """Shift, shape and scale (C,) of the Weibull distribution of each row of ``tails - shift``.

    The shift makes the smallest distance of a row ``smallest``.  The maximum of the likelihood is
    where sum x^k log x / sum x^k - 1 / k = mean log x, which rises with the shape k; bisection
    finds it for all rows at once.  With u = log(x / largest x) / span in -1..0 and k span for k it
    depends neither on the unit nor on the shift.

    Args:
        tails: (C, T) float64 distances, at least one in each row; -1 where a row has fewer.
        smallest: above 0.
    """
    there = tails >= 0
    least = torch.where(there, tails, float("inf")).amin(dim=1, keepdim=True)
    largest = tails.amax(dim=1, keepdim=True)
    logs = torch.where(there, torch.log1p((tails - largest) / (largest - least + smallest)), 0.0)
    span = -logs.amin(dim=1, keepdim=True)
    varies = largest - least > ROUNDING * largest
    u = torch.where(varies, logs / torch.where(varies, span, 1.0), 0.0)
    count = there.sum(dim=1, keepdim=True)
    shape = _solve(u, there, count) / torch.where(varies, span, 1.0)
    shape = torch.where(varies, shape, STEEP * smallest)
    power = (there * torch.exp(shape * logs)).sum(dim=1, keepdim=True) / count
    scale = (largest - least + smallest) * power ** (1 / shape)
    return (least - smallest)[:, 0], shape[:, 0], scale[:, 0]


def _solve(u: Tensor, there: Tensor, count: Tensor) -> Tensor:
    """(C, 1) the shape for logarithms u (C, T) in -1..0 that reach both ends; 0 where not there."""
    mean = u.sum(dim=1, keepdim=True) / count
    low = torch.full_like(mean, -14.0)
    high = torch.log((count * count + count).double())  # the mean is at most -1 / count
    for _ in range(60):
        middle = (low + high) / 2
        weight = there * torch.exp(middle.exp() * u)
        weighted = (weight * u).sum(dim=1, keepdim=True) / weight.sum(dim=1, keepdim=True)
        below = weighted - torch.exp(-middle) < mean
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return high.exp()
