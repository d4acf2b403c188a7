"""Distance to the nearest class centre: the score of ML and ODM."""

from typing import Any, Self

import torch
from torch import Tensor, nn


class NearestCentre(nn.Module):
    """Scores an image by the Euclidean distance of its embedding to the nearest class centre (Section 3.3).

    centres: (C, D), the mean embedding of each class over the training images; set by ``fit``.
    """

    centres: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.settings: dict[str, Any] = {}
        self.register_buffer("centres", torch.empty(0, 0))

    def fit(self, embeddings: Tensor, labels: Tensor) -> Self:
        """Centres from embeddings (N, D) and labels (N,) in 0..C-1.  Raises ValueError if a class has no image."""
        counts = torch.bincount(labels)
        if not counts.numel() or (counts == 0).any():
            raise ValueError(f"classes have {counts.tolist()} embeddings; expected at least one for each class 0..C-1")
        sums = torch.zeros(len(counts), embeddings.shape[1], dtype=torch.float64, device=embeddings.device)
        sums.index_add_(0, labels, embeddings.double())
        self.centres = (sums / counts[:, None]).float()
        return self

    def distances(self, embeddings: Tensor) -> Tensor:
        """(N, D) -> (N, C) Euclidean distances to every centre."""
        # by differences, not by products: |x|^2 + |c|^2 - 2xc loses the small distances that decide
        return torch.cdist(embeddings.float(), self.centres, compute_mode="donot_use_mm_for_euclid_dist")

    def score(self, embeddings: Tensor) -> Tensor:
        """(N, D) -> (N,) distance to the nearest centre."""
        return self.distances(embeddings).amin(dim=1)

    def classify(self, embeddings: Tensor) -> Tensor:
        """(N, D) -> (N,) index of the nearest centre."""
        return self.distances(embeddings).argmin(dim=1)
