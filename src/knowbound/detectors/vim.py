"""ViM, virtual-logit matching (Wang et al., CVPR 2022): what of the features the classes do not
explain, beside the energy."""

from typing import Self

import torch
from torch import Tensor

from knowbound.detectors.detector import Detector

SMALLEST = 1e-6
"""Of the mean length of the features: residuals shorter than this share are rounding, and the
energy decides alone."""


def principal_dim(features: int) -> int:
    """The authors' choice by the length of the features: 1000 from 2048 on, 512 from 768 on, else
    half."""
    return 1000 if features >= 2048 else 512 if features >= 768 else features // 2


class Vim(Detector):
    """Scores an image by alpha |x_perp| - log sum exp(logits): residual of the features, and minus
    the energy of the logits.

    With the logits W f + b of features f, x = f - o with the origin o = -pinv(W) b, and x_perp the
    part of x outside the ``dim`` principal directions of the training features about o.  alpha is
    the mean largest logit over the mean |x_perp| of the training images.  The score orders images
    as the authors' probability of the virtual class does.

    dim: of the principal space; None: ``principal_dim``.  W and b are read off the training outputs
    by least squares, which is exact for a linear last layer (of its many solutions where features
    do not vary, the one of least length).
    """

    reads = ("features", "logits")
    origin: Tensor
    residual: Tensor
    alpha: Tensor

    def __init__(self, dim: int | None = None) -> None:
        super().__init__({"dim": dim})
        if dim is not None and dim < 1:
            raise ValueError(
                f"a principal space of {dim} dimensions was asked for; expected at least 1"
            )
        self.register_buffer("origin", torch.empty(0, dtype=torch.float64))
        self.register_buffer("residual", torch.empty(0, 0, dtype=torch.float64))
        self.register_buffer("alpha", torch.zeros((), dtype=torch.float64))

    def fit(self, embeddings: Tensor, labels: Tensor) -> Self:
        """Origin, residual space and alpha from features and logits (N, F + C), labels (N,) in
        0..C-1, all classes present.

        Raises ValueError where there are no features beside the logits, or the principal space
        leaves no direction.
        """
        classes = int(labels.max()) + 1
        width = embeddings.shape[1] - classes
        dim = self.settings["dim"] or principal_dim(width)
        if width < 2 or dim >= width:
            raise ValueError(
                f"{width} features came with {classes} logits for a principal space of {dim} "
                "dimensions; expected more features than dimensions"
            )
        features, logits = embeddings[:, :width].double(), embeddings[:, width:].double()
        self.origin = _origin(features, logits)
        centred = features - self.origin
        _, directions = torch.linalg.eigh(centred.T @ centred)  # rising variance
        self.residual = directions[:, : width - dim].contiguous()
        length, whole = (centred @ self.residual).norm(dim=1).mean(), centred.norm(dim=1).mean()
        measurable = (
            length > SMALLEST * whole
        )  # else the training features lie in the principal space but for rounding
        self.alpha = torch.where(
            measurable, logits.amax(dim=1).mean() / torch.where(measurable, length, 1.0), 0.0
        )
        return self

    def score(self, embeddings: Tensor) -> Tensor:
        """(N, F + C) -> (N,) float64."""
        features, logits = self._split(embeddings)
        score: Tensor = self.alpha * ((features - self.origin) @ self.residual).norm(
            dim=1
        ) - logits.logsumexp(dim=1)
        return score

    def classify(self, embeddings: Tensor) -> Tensor:
        """(N, F + C) -> (N,) index of the largest logit."""
        return self._split(embeddings)[1].argmax(dim=1)

    def _split(self, embeddings: Tensor) -> tuple[Tensor, Tensor]:
        width = len(self.origin)
        return embeddings[:, :width].double(), embeddings[:, width:].double()


def _origin(features: Tensor, logits: Tensor) -> Tensor:
    """-pinv(W) b of logits = W features + b, float64."""
    mean_features, mean_logits = features.mean(dim=0), logits.mean(dim=0)
    weights = torch.linalg.pinv(features - mean_features) @ (logits - mean_logits)  # (F, C)
    bias = mean_logits - mean_features @ weights
    origin: Tensor = -torch.linalg.pinv(weights.T) @ bias
    return origin
