"""What one trained model said of every set of images: all that a report needs, as plain arrays."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from knowbound.labels import Kind
from knowbound.result import Result


@dataclass(frozen=True, eq=False)
class JudgedSet:
    """One set of N images as one model judged it."""

    name: str
    kind: Kind | None
    """None for the in-distribution test set."""
    images: NDArray[np.uint8]
    """(N, C, H, W), C = 1 or 3."""
    labels: NDArray[np.int64]
    """(N,) the true class, -1 for out images."""
    embeddings: NDArray[np.float32]
    """(N, D)."""
    scores: NDArray[np.float64]
    """(N,) higher = more out-of-distribution."""
    nearest: NDArray[np.int64]
    """(N,) index of the nearest class."""
    decisions: NDArray[np.str_]
    """(N,) ``known``, ``novelty`` or ``anomaly``."""
    paths: tuple[str, ...] = ()
    """Where each image came from; empty if it came from no file."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """One trained model's judgement of the in-distribution test set and of every out set."""

    method: str
    class_names: tuple[str, ...]
    threshold: float
    """Known if and only if score <= threshold."""
    acceptance: float
    """Share of held-out in-distribution images the threshold was set to accept."""
    centres: NDArray[np.float32] | None
    """(C, D) class centres, or None for a detector that has none."""
    in_set: JudgedSet
    out_sets: tuple[JudgedSet, ...]
    results: tuple[Result, ...]
    """The rows of this model, every convention that was computed."""
