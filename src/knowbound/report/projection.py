"""Embeddings of any length -> 3 coordinates that can be drawn."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Projection:
    """(N, D) -> (N, 3): principal components of the in set if D > 3, else the coordinates
    themselves with zeros added."""

    mean: Array
    """(D,)."""
    axes: Array
    """(D, 3)."""
    explained: float
    """Share of the in set's variance that the 3 coordinates keep; 1 if D <= 3."""

    @classmethod
    def fit(cls, embeddings: NDArray[np.floating]) -> "Projection":
        """The projection fitted on the in-distribution set.  Out sets follow it and do not
        influence it.

        Args:
            embeddings: (N, D).
        """
        values = _finite(embeddings)
        dim = values.shape[1]
        if dim <= 3:
            return cls(np.zeros(dim), np.eye(dim, 3), 1.0)
        mean = values.mean(axis=0) if len(values) else np.zeros(dim)
        centred = values - mean
        variances, vectors = np.linalg.eigh(centred.T @ centred)
        axes = vectors[:, ::-1][:, :3]
        largest = axes[np.abs(axes).argmax(axis=0), np.arange(3)]
        axes = axes * np.where(
            largest < 0, -1.0, 1.0
        )  # eigenvectors come with any sign; the same picture every time
        total = float(variances.sum())
        return cls(mean, axes, float(variances[::-1][:3].sum()) / total if total > 0 else 1.0)

    def __call__(self, embeddings: NDArray[np.floating]) -> Array:
        """(N, D) -> (N, 3), finite."""
        return np.asarray((_finite(embeddings) - self.mean) @ self.axes, dtype=np.float64)


def softmax(logits: NDArray[np.floating]) -> Array:
    """Softmax probabilities.

    Args:
        logits: (N, C).

    Returns:
        (N, C).
    """
    values = _finite(logits)
    powers = np.exp(values - values.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), dtype=np.float64)


def sample(count: int, at_most: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """A draw without repetition.

    Args:
        count: of the things to draw from.
        at_most: how many to draw.
        rng: draws them.

    Returns:
        Sorted indices, all of them where there are no more.
    """
    if count <= at_most:
        return np.arange(count, dtype=np.int64)
    return np.sort(rng.choice(count, size=at_most, replace=False)).astype(np.int64)


def _finite(values: NDArray[np.floating]) -> Array:
    return np.nan_to_num(np.asarray(values, dtype=np.float64), nan=0.0, posinf=1e12, neginf=-1e12)
