"""Two 1-D score arrays -> fractions, in five named conventions.  NumPy only.

All take ``(in_scores, out_scores)``, higher = more out-of-distribution; an image is accepted if score <= threshold; in-distribution
is the positive class (Supplement A).  All raise ValueError for arrays that are not 1-D, are empty or hold NaN.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from knowbound.metrics import exact, legacy
from knowbound.metrics.counts import Counts, as_scores
from knowbound.metrics.counts import count as count_accepted

CONVENTIONS = ("exact", "seed", "odin", "ccag", "openood")
"""exact: the definitions, every distinct score a threshold, ties count half; the default.
seed: Tables 2 to 4 of the paper: FPR and detection error at the TPR nearest 95%, AUPR by trapezoids.
odin: the released program of ODIN: 100,000 equal steps, precision of rates, the smallest detection error.
ccag: the released program of Confident Classifier, printed in Table 1: 200,000 equal steps, AUROC without its last block.
openood: out is the positive class: fpr95 is the share of in images rejected when 95% of the out images are caught."""


@dataclass(frozen=True, slots=True)
class Metrics:
    """The five numbers of a table row, as fractions."""

    fpr95: float
    detection_error: float
    auroc: float
    aupr_in: float
    aupr_out: float
    tie_share: float
    """Share of all images whose score another image has too."""
    threshold: float
    """Where fpr95 was taken; NaN where a convention has no single threshold."""


def measure(
    in_scores: ArrayLike,
    out_scores: ArrayLike,
    *,
    convention: str = "exact",
    tpr: float = 0.95,
    score_range: tuple[float, float] | None = None,
) -> Metrics:
    """All five metrics from one sort.  score_range: what ``odin`` steps through (default: the scores' own range).

    Raises ValueError for a convention that is not in ``CONVENTIONS``.
    """
    inside, outside = as_scores("in_scores", in_scores), as_scores("out_scores", out_scores)
    if convention not in CONVENTIONS:
        raise ValueError(f"the convention {convention!r} is unknown; expected one of {CONVENTIONS}")
    if not 0 < tpr <= 1:
        raise ValueError(f"a TPR of {tpr} was asked for; expected a share above 0 and at most 1")
    if convention in ("odin", "ccag"):
        return _legacy(inside, outside, convention, score_range)
    counts = count_accepted(inside, outside)
    if convention == "openood":
        return _openood(counts, inside, outside, tpr)
    ties = counts.tied / (counts.n_in + counts.n_out)
    if convention == "seed":
        fpr, found, threshold = exact.fpr_near(counts, tpr)
        aupr_in_, aupr_out_ = (
            exact.aupr_trapezoid(counts.accepted_in, counts.accepted_out),
            exact.aupr_trapezoid(*exact.rejected(counts)),
        )
        return Metrics(fpr, 0.5 * (1 - found) + 0.5 * fpr, exact.auroc(counts), aupr_in_, aupr_out_, ties, threshold)
    fpr, threshold = exact.fpr_at(counts, tpr)
    error = 0.5 * (1 - tpr) + 0.5 * fpr
    return Metrics(fpr, error, exact.auroc(counts), exact.aupr_in(counts), exact.aupr_out(counts), ties, threshold)


def _legacy(inside: np.ndarray, outside: np.ndarray, convention: str, score_range: tuple[float, float] | None) -> Metrics:
    ccag = convention == "ccag"
    steps = legacy.step(inside, outside, 200_000 if ccag else 100_000, None if ccag else score_range)
    fpr = legacy.mean_fpr(steps, 0.94, 0.96, 1.0) if ccag else legacy.mean_fpr(steps, 0.9495, 0.9505, math.nan)
    counts = count_accepted(inside, outside)
    return Metrics(
        fpr, legacy.best_detection_error(steps), legacy.auroc(steps, last_block=not ccag), legacy.aupr_in(steps),
        legacy.aupr_out(steps), counts.tied / (counts.n_in + counts.n_out), math.nan,
    )  # fmt: skip


def _openood(counts: Counts, inside: np.ndarray, outside: np.ndarray, tpr: float) -> Metrics:
    """Out is positive: catch ``tpr`` of the out images, that is, call out what scores at least the threshold."""
    caught = math.ceil(tpr * counts.n_out - 1e-9)
    threshold = float(np.partition(outside, counts.n_out - caught)[counts.n_out - caught])
    fpr = float(np.mean(inside >= threshold))
    return Metrics(
        fpr, 0.5 * (1 - tpr) + 0.5 * fpr, exact.auroc(counts), exact.aupr_in(counts), exact.aupr_out(counts),
        counts.tied / (counts.n_in + counts.n_out), threshold,
    )  # fmt: skip


def _counts(in_scores: ArrayLike, out_scores: ArrayLike) -> Counts:
    return count_accepted(as_scores("in_scores", in_scores), as_scores("out_scores", out_scores))


def fpr_at_tpr(in_scores: ArrayLike, out_scores: ArrayLike, tpr: float = 0.95) -> float:
    """Share of out images accepted at the smallest threshold that accepts ``tpr`` of the in images."""
    return exact.fpr_at(_counts(in_scores, out_scores), tpr)[0]


def detection_error(in_scores: ArrayLike, out_scores: ArrayLike, tpr: float = 0.95) -> float:
    """0.5 (1 - tpr) + 0.5 FPR at that fixed TPR: 0.025 is perfect at 95%."""
    return 0.5 * (1 - tpr) + 0.5 * fpr_at_tpr(in_scores, out_scores, tpr)


def best_detection_error(in_scores: ArrayLike, out_scores: ArrayLike) -> float:
    """The smallest 0.5 (1 - TPR) + 0.5 FPR over all thresholds: 0 is perfect."""
    return exact.best_detection_error(_counts(in_scores, out_scores))


def auroc(in_scores: ArrayLike, out_scores: ArrayLike) -> float:
    """Probability that an out image scores above an in image; equal scores count half."""
    return exact.auroc(_counts(in_scores, out_scores))


def aupr_in(in_scores: ArrayLike, out_scores: ArrayLike) -> float:
    """Average precision of accepting, in as the positive class.  Depends on the numbers of images."""
    return exact.aupr_in(_counts(in_scores, out_scores))


def aupr_out(in_scores: ArrayLike, out_scores: ArrayLike) -> float:
    """Average precision of rejecting, out as the positive class.  Depends on the numbers of images."""
    return exact.aupr_out(_counts(in_scores, out_scores))
