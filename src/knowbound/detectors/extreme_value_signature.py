"""Extreme value signatures (Schultheiss et al., GCPR 2017): a class is told by which features are
largest for it."""

from typing import Self

import torch
from torch import Tensor

from knowbound.detectors.detector import Detector, class_means
from knowbound.outputs import Field

SMALLEST = 1e-20
"""Of the largest squared length of a signature: a shorter one is rounding."""


class ExtremeValueSignature(Detector):
    """Scores an image by how far its features fall short of the best-fitting class's signature, 1 -
    the best fit.

    The signature of a class is the ``dims`` features with the largest mean activation over its
    training images (at most half of all features; the largest in magnitude where they may be
    negative), with these means m.  The fit of an image x is the sum of x m over the signature
    divided by that of m m: 1 for the mean image of the class, lower where the features that make
    the class are not active.  The paper's idea is the signature; this continuous fit, which has no
    ties, and the default of ten features are ours.  One unit for all features does not matter.
    The unit of single features does, because the largest activations make the signature.

    Args:
        dims: features in a signature.
        reads: which of the network's outputs; the authors read the last layers of networks for
            classification.

    Raises:
        ValueError: fewer than one feature.
    """

    choices = ("features", "embedding", "logits")
    signatures: Tensor

    def __init__(self, dims: int = 10, reads: Field = "features") -> None:
        super().__init__({"dims": dims}, reads)
        if dims < 1:
            raise ValueError(f"{dims} features were asked for; expected at least 1")
        self.dims = dims
        self.register_buffer("signatures", torch.empty(0, 0, dtype=torch.float64))

    def fit(self, embeddings: Tensor, labels: Tensor) -> Self:
        """Keep the signatures (C, F): the class means where they are largest, 0 elsewhere.

        Args:
            embeddings: (N, F) of training images.
            labels: (N,) in 0..C-1.

        Raises:
            ValueError: a class has no image.
        """
        means = class_means(embeddings, labels)
        kept = max(1, min(self.dims, embeddings.shape[1] // 2))
        top = means.abs().topk(kept, dim=1).indices
        self.signatures = torch.zeros_like(means).scatter_(1, top, means.gather(1, top))
        return self

    def fits(self, embeddings: Tensor) -> Tensor:
        """How active the signature of each class is, 1 as in the class's mean.

        Args:
            embeddings: (N, F).

        Returns:
            (N, C) float64.
        """
        lengths = self.signatures.square().sum(dim=1, keepdim=True)
        active = lengths > SMALLEST * lengths.max()  # a class that activates nothing fits nothing
        weights = torch.where(active, self.signatures / torch.where(active, lengths, 1.0), 0.0)
        return embeddings.double() @ weights.T

    def score(self, embeddings: Tensor) -> Tensor:
        """One minus the best fit; below 0 where an image activates a signature more than its class
        does.

        Args:
            embeddings: (N, F).

        Returns:
            (N,) float64 scores, higher = more out-of-distribution.
        """
        return 1 - self.fits(embeddings).amax(dim=1)

    def classify(self, embeddings: Tensor) -> Tensor:
        """The class whose signature fits best.

        Args:
            embeddings: (N, F).

        Returns:
            (N,) int64, in 0..C-1.
        """
        return self.fits(embeddings).argmax(dim=1)
