"""OpenMax (Bendale and Boult, CVPR 2016): logits are lowered by how extreme an image is for its
classes; the rest is unknown."""

from typing import Self

import torch
from torch import Tensor

from knowbound.detectors.detector import Detector

STEEP = 50.0
"""Shape of the Weibull distribution where a class gives no two different distances to fit one to:
nearly a step."""


class OpenMax(Detector):
    """Scores an image by log p(unknown) - log p(known) under the softmax of revised logits.

    Each class has the mean logits of its correctly classified training images and a Weibull
    distribution of the ``tail`` largest Euclidean distances to it.  Of an image's ``alpha`` largest
    logits, the r-th (r = 0, 1, ...) is multiplied by 1 - (alpha - r) / alpha F(distance to its
    class), and what is taken from them is the logit of the unknown.

    As the authors' program does, distances are shifted so that the smallest of the tail is 1, then
    fitted by maximum likelihood.  Theirs mixes in a cosine distance, which is left out.  tail: 20
    in their program; alpha: 10. A class none of whose images is classified correctly takes all its
    images.
    """

    reads = ("logits",)
    means: Tensor
    shift: Tensor
    shape: Tensor
    scale: Tensor

    def __init__(self, tail: int = 20, alpha: int = 10) -> None:
        super().__init__({"tail": tail, "alpha": alpha})
        if tail < 1 or alpha < 1:
            raise ValueError(
                f"OpenMax was given the tail {tail} and alpha {alpha}; expected both above 0"
            )
        self.tail, self.alpha = tail, alpha
        self.register_buffer("means", torch.empty(0, 0, dtype=torch.float64))
        for name in ("shift", "shape", "scale"):
            self.register_buffer(name, torch.empty(0, dtype=torch.float64))

    def fit(self, embeddings: Tensor, labels: Tensor) -> Self:
        """Means (C, C) and Weibull distributions from logits (N, C) and labels (N,).

        Raises ValueError where a class has no image, or the logits have not one column for each
        class.
        """
        counts = torch.bincount(labels)
        if len(counts) != embeddings.shape[1] or (counts == 0).any():
            raise ValueError(
                f"logits of shape {tuple(embeddings.shape)} came with {counts.tolist()} images of "
                "the classes; expected one column and at least one image for each class"
            )
        logits = embeddings.double()
        right = logits.argmax(dim=1) == labels
        means, tails = [], []
        for label in range(len(counts)):
            mine = labels == label
            vectors = logits[mine & right] if (mine & right).any() else logits[mine]
            means.append(vectors.mean(dim=0))
            distances = (vectors - means[-1]).norm(dim=1)
            tails.append(fit_tail(distances.topk(min(self.tail, len(distances))).values))
        self.means = torch.stack(means)
        self.shift, self.shape, self.scale = torch.tensor(
            tails, dtype=torch.float64, device=logits.device
        ).unbind(dim=1)
        return self

    def revised(self, embeddings: Tensor) -> Tensor:
        """Logits (N, C) -> (N, 1 + C) float64: the logit of the unknown, then the revised ones."""
        logits = embeddings.double()
        alpha = min(self.alpha, logits.shape[1])
        distances = torch.cdist(logits, self.means, compute_mode="donot_use_mm_for_euclid_dist")
        extreme = 1 - torch.exp(
            -(((distances - self.shift).clamp(min=0) / self.scale) ** self.shape)
        )
        top = logits.topk(alpha, dim=1).indices
        weight = torch.arange(alpha, 0, -1, dtype=torch.float64, device=logits.device) / alpha
        taken = torch.zeros_like(logits).scatter(
            1, top, logits.gather(1, top) * weight * extreme.gather(1, top)
        )
        return torch.cat([taken.sum(dim=1, keepdim=True), logits - taken], dim=1)

    def score(self, embeddings: Tensor) -> Tensor:
        """Logits (N, C) -> (N,) float64, in the order of p(unknown) but without its ties at 0 and
        1."""
        revised = self.revised(embeddings)
        return revised[:, 0] - revised[:, 1:].logsumexp(dim=1)

    def classify(self, embeddings: Tensor) -> Tensor:
        """Logits (N, C) -> (N,) index of the largest, as it was before it was revised."""
        return embeddings.argmax(dim=1)


def fit_tail(distances: Tensor) -> tuple[float, float, float]:
    """(shift, shape, scale) of the Weibull distribution of ``distances - shift``; shift makes the
    smallest 1."""
    from scipy.stats import weibull_min

    values = distances.detach().cpu().double().numpy()
    shift = float(values.min()) - 1
    shifted = values - shift
    if shifted.max() - shifted.min() < 1e-9:
        return shift, STEEP, float(shifted.max())
    shape, _, scale = weibull_min.fit(shifted, floc=0)
    return shift, float(shape), float(scale)
