"""The error of accepted images against how many are accepted (Geifman and El-Yaniv 2017)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RiskCoverage:
    """One point for each of T distinct scores, as a threshold."""

    thresholds: Floats
    """(T,) ascending."""
    coverage: Floats
    """(T,) share of images accepted, up to 1."""
    risk: Floats
    """(T,) share of accepted images with the wrong class."""
    area: float
    """AURC: mean risk over the coverages 1/N, 2/N, .., 1; 0 is perfect.  Images of equal score are
    accepted in any order, on average."""
    least_area: float
    """The area if every wrong image scored above every right one."""


def risk_coverage(scores: ArrayLike, correct: ArrayLike) -> RiskCoverage:
    """The risk-coverage curve of in-distribution images, and its area.

    Args:
        scores: (N,) higher = more out-of-distribution.
        correct: (N,) bool, whether each image's class is right.

    Raises:
        ValueError: no image, scores that are NaN, or other shapes.
    """
    values, right = np.asarray(scores, dtype=np.float64), np.asarray(correct, dtype=bool)
    if values.ndim != 1 or values.shape != right.shape or not values.size:
        raise ValueError(
            f"scores of shape {values.shape} and answers of shape {right.shape} were given; "
            "expected (N,) both, N at least 1"
        )
    if np.isnan(values).any():
        raise ValueError("some scores are NaN; expected numbers")
    thresholds, step, sizes = np.unique(values, return_inverse=True, return_counts=True)
    accepted = np.cumsum(sizes)
    errors = np.cumsum(np.bincount(step[~right], minlength=len(sizes)))
    count = np.arange(1, len(values) + 1)
    evenly = np.interp(count, np.append(0, accepted), np.append(0, errors))
    best = np.maximum(count - right.sum(), 0)
    return RiskCoverage(
        thresholds,
        accepted / len(values),
        errors / accepted,
        float(np.mean(evenly / count)),
        float(np.mean(best / count)),
    )
