"""Scores -> what is drawn of them: counts in shared bins, and the corners of the ROC curve."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]
HIGH_QUANTILE = 0.995
FURTHEST = 12.0
"""No range reaches further than this many times the distance from the lowest score to the
threshold."""
MOST_OUTSIDE = 0.1
"""With a larger share of the scores outside of that range (as under the max-softmax, which spans
decades) bins are logarithmic."""
DECADES = 9.0


@dataclass(frozen=True, eq=False)
class Histogram:
    """Counts of several sets in the same bins.  Every score is counted: what lies outside falls
    into the first or last bin."""

    edges: Scores
    """(B + 1,)."""
    counts: tuple[NDArray[np.int64], ...]
    """(B,) per set."""
    below: int
    """How many scores lie below the range, all sets together (or are not numbers)."""
    above: int
    """How many scores lie above it."""
    logarithmic: bool = False
    """Whether the bins are equally wide in the logarithm of the score."""


def histogram(sets: Sequence[Scores], threshold: float, bins: int = 80) -> Histogram:
    """Counts in bins shared by all sets; the first set is the in-distribution one.

    The range ends at a high quantile of all scores, and before that where it would squeeze the
    threshold against the left edge: a few huge scores must not hide everything else.  Where that
    would leave out more than a tenth of all scores, the bins are logarithmic instead and the range
    covers all but the smallest scores.

    Args:
        sets: (N,) scores of each.
        threshold: that must be seen.
        bins: how many.
    """
    pooled = (
        np.concatenate([np.asarray(s, dtype=np.float64) for s in sets]) if sets else np.empty(0)
    )
    low, high = _range(pooled, np.asarray(sets[0]) if sets else pooled, threshold)
    logarithmic = bool(np.mean(pooled > high) > MOST_OUTSIDE) if len(pooled) else False
    if logarithmic:
        wide = _decades(pooled, threshold)
        logarithmic = wide is not None
        low, high = wide or (low, high)
    edges = np.geomspace(low, high, bins + 1) if logarithmic else np.linspace(low, high, bins + 1)
    low, high = float(edges[0]), float(edges[-1])  # the logarithm may round the ends
    counts = []
    for scores in sets:
        inside = np.clip(np.nan_to_num(scores, nan=low, posinf=high, neginf=low), low, high)
        counts.append(np.histogram(inside, bins=edges)[0].astype(np.int64))
    return Histogram(
        edges, tuple(counts), int(np.sum(~(pooled >= low))), int(np.sum(pooled > high)), logarithmic
    )


def roc_curve(in_scores: Scores, out_scores: Scores) -> tuple[Scores, Scores]:
    """The ROC curve, in-distribution as the positive.

    Both shares start at 0 and end at 1.  Points on a straight piece are left out, so the trapezoids
    below are exactly the AUROC.

    Args:
        in_scores: (N,) higher = more out-of-distribution.
        out_scores: (M,).

    Returns:
        Share of unknown images accepted, and share of known images accepted, at every threshold.

    Raises:
        ValueError: an empty set.
    """
    if not len(in_scores) or not len(out_scores):
        raise ValueError(
            f"a ROC curve needs scores of both sides, got {len(in_scores)} in and "
            f"{len(out_scores)} out"
        )
    thresholds = np.unique(np.concatenate([in_scores, out_scores]))
    tp = np.searchsorted(np.sort(in_scores), thresholds, side="right")
    fp = np.searchsorted(np.sort(out_scores), thresholds, side="right")
    tp, fp = np.concatenate([[0], tp]), np.concatenate([[0], fp])
    step_tp, step_fp = np.diff(tp), np.diff(fp)
    bends = step_tp[:-1] * step_fp[1:] != step_tp[1:] * step_fp[:-1]
    keep = np.concatenate([[True], bends, [True]])
    return fp[keep] / len(out_scores), tp[keep] / len(in_scores)


def thin(x: Scores, y: Scores, at_most: int) -> tuple[Scores, Scores]:
    """Fewer of a rising curve's own corners, evenly along it, both ends included.

    Args:
        x: (K,) rising.
        y: (K,) rising.
        at_most: how many to keep.
    """
    if len(x) <= at_most:
        return x, y
    along = x + y
    wanted = np.linspace(along[0], along[-1], at_most)
    chosen = np.unique(np.clip(np.searchsorted(along, wanted), 0, len(x) - 1))
    return x[chosen], y[chosen]


def _decades(pooled: Scores, threshold: float) -> tuple[float, float] | None:
    """A range for logarithmic bins, or None if the threshold or the scores are not above 0."""
    finite = pooled[np.isfinite(pooled)]
    positive = finite[finite > 0]
    if (finite < 0).any() or not len(positive) or not 0 < threshold < np.inf:
        return None
    high = max(float(positive.max()), 2 * threshold)
    low = min(float(np.quantile(positive, 1 - HIGH_QUANTILE)), threshold / 2)
    return max(low, min(high / 10**DECADES, threshold / 2)), high


def _range(pooled: Scores, in_scores: Scores, threshold: float) -> tuple[float, float]:
    finite = pooled[np.isfinite(pooled)]
    if not len(finite):
        middle = threshold if np.isfinite(threshold) else 0.0
        return middle - 0.5, middle + 0.5
    low, high = (
        float(np.quantile(finite, 1 - HIGH_QUANTILE)),
        float(np.quantile(finite, HIGH_QUANTILE)),
    )
    near = in_scores[np.isfinite(in_scores)]
    if np.isfinite(threshold):
        low = min(low, threshold)
    # Light tails are shown to their end.
    lowest, highest = float(finite.min()), float(finite.max())
    low = lowest if high - lowest <= 1.5 * (high - low) else low
    high = highest if highest - low <= 1.5 * (high - low) else high
    landmark = (
        threshold
        if np.isfinite(threshold)
        else float(np.quantile(near, 0.95))
        if len(near)
        else high
    )
    if landmark > low:
        high = min(high, low + FURTHEST * (landmark - low))
        high = max(high, landmark + 0.05 * (landmark - low))
    if not high > low:
        margin = max(abs(low), 1.0) * 0.5
        return low - margin, low + margin
    return low, high
