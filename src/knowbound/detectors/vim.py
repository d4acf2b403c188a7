"""ViM, virtual-logit matching (Wang et al., CVPR 2022): what of the features the classes do not
explain, beside the energy."""

from typing import Self

import torch
from torch import Tensor

from knowbound.detectors.detector import Detector
from knowbound.errors import UserError

SMALLEST = 1e-13
"""Of the largest variance about the origin: directions with less than this share do not vary."""
ROUNDING = 1e-6
"""Of the largest singular value: of outputs in float32 the smaller ones are rounding, which an
inverse would blow up."""


def principal_dim(features: int) -> int:
    """The authors' choice: 1000 from 2048 features on, 512 from 768 on, else half.

    Args:
        features: the length of the features.
    """
    return 1000 if features >= 2048 else 512 if features >= 768 else features // 2


class Vim(Detector):
    """Scores an image by alpha |x_perp| - log sum exp(logits): residual of the features, and minus
    the energy of the logits (Section 4).

    With the logits W f + b of features f, x = f - o with the origin o = -pinv(W) b, and x_perp the
    part of x outside the ``dim`` principal directions of the training features about o.  alpha is
    the mean largest logit over the mean |x_perp| of the training images.  The score orders images
    as the authors' probability of the virtual class does.  W and b are read off the training
    outputs by least squares, which is exact for a linear last layer (of its many solutions where
    features do not vary, the one of least length).  One unit for all features does not matter.  The
    unit of single features does, because principal directions depend on it.

    Args:
        dim: of the principal space.  None: ``principal_dim``, or half of the directions in which
            the training features vary, where these are no more than that.

    Raises:
        ValueError: dim below 1.
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
        """Keep the origin, the residual space and alpha.

        Args:
            embeddings: (N, F + C) features and logits of training images.
            labels: (N,) in 0..C-1, all classes present.

        Raises:
            UserError: features without a direction for the residual, or an alpha that is not above
                0.
        """
        classes = int(labels.max()) + 1
        width = embeddings.shape[1] - classes
        if width < 2:
            raise UserError(
                f"{embeddings.shape[1]} features and logits came for {classes} classes; ViM "
                "expected two features or more beside a logit for each class"
            )
        features, logits = embeddings[:, :width].double(), embeddings[:, width:].double()
        self.origin = _origin(features, logits)
        centred = features - self.origin
        variances, directions = torch.linalg.eigh(centred.T @ centred)  # rising
        rank = int((variances > SMALLEST * variances[-1]).sum())
        dim = self._dim(width, rank)
        self.residual = directions[:, : width - dim].contiguous()
        length = (centred @ self.residual).norm(dim=1).mean()
        self.alpha = logits.amax(dim=1).mean() / length
        if not self.alpha > 0:
            raise UserError(
                f"the largest logit of a training image is {logits.amax(dim=1).mean():.4g} on "
                "average, so ViM's alpha would not be above 0 and far images would look known; "
                "expected a mean above 0: add a constant to the logits, or take another detector"
            )
        return self

    def _dim(self, width: int, rank: int) -> int:
        """The dimensions of the principal space of ``width`` features that vary in ``rank``."""
        usual = principal_dim(width)
        dim: int = self.settings["dim"] or (usual if usual < rank else rank // 2)
        if not 0 < dim < rank:
            raise UserError(
                f"the training images vary in {rank} directions of their {width} features, and "
                f"ViM's principal space has {dim} dimensions, which leaves nothing to measure a "
                "residual in; expected fewer dimensions than directions: take another dim, more "
                "training images, or another detector"
            )
        return dim

    def score(self, embeddings: Tensor) -> Tensor:
        """The energy, and the virtual logit of what the principal space leaves over.

        Args:
            embeddings: (N, F + C).

        Returns:
            (N,) scores, higher = more out-of-distribution.
        """
        features, logits = self._split(embeddings)
        score: Tensor = self.alpha * ((features - self.origin) @ self.residual).norm(
            dim=1
        ) - logits.logsumexp(dim=1)
        return score

    def classify(self, embeddings: Tensor) -> Tensor:
        """The class of the largest logit.

        Args:
            embeddings: (N, F + C).

        Returns:
            (N,) int64, in 0..C-1.
        """
        return self._split(embeddings)[1].argmax(dim=1)

    def _split(self, embeddings: Tensor) -> tuple[Tensor, Tensor]:
        width = len(self.origin)
        return embeddings[:, :width].double(), embeddings[:, width:].double()


def _origin(features: Tensor, logits: Tensor) -> Tensor:
    """-pinv(W) b of logits = W features + b, float64."""
    mean_features, mean_logits = features.mean(dim=0), logits.mean(dim=0)
    centred = features - mean_features
    weights = torch.linalg.pinv(centred, rtol=ROUNDING) @ (logits - mean_logits)  # (F, C)
    bias = mean_logits - mean_features @ weights
    origin: Tensor = -torch.linalg.pinv(weights.T, rtol=ROUNDING) @ bias
    return origin
