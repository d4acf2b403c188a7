"""Two 1-D score arrays -> fractions, in five named conventions.  NumPy only.

All take ``(in_scores, out_scores)``, two (N,) arrays of numbers, N their own; higher = more
out-of-distribution; an image is accepted if score <= threshold; in-distribution is the positive
class (Supplement A).  Infinite scores are the most (or least) out.  All raise ValueError for arrays
that are not 1-D, are empty or hold NaN.

Memory: beside the scores one float for each (four bytes where both arrays are float32) and a few
small blocks; the two legacy conventions hold the sorted scores once more.  So 100 million in and
100 million out scores take 1.6 GB and 1.6 GB more.
"""

from numpy.typing import ArrayLike

from knowbound.metrics import exact, legacy, openood, seed
from knowbound.metrics.metrics import Metrics
from knowbound.metrics.ranking import rank

__all__ = [
    "CONVENTIONS",
    "FORMER",
    "Metrics",
    "aupr_in",
    "aupr_out",
    "auroc",
    "best_detection_error",
    "detection_error",
    "fpr_at_tpr",
    "measure",
]

CONVENTIONS: tuple[str, ...] = ("exact", "seed", "odin", "ccag", "openood")
"""exact: the definitions, every distinct score a threshold, ties count half; the default.
seed: Tables 2 to 4 of the paper, as the authors' released program computes them: FPR and detection
error at the TPR nearest 95% among the points that scikit-learn's ``roc_curve`` keeps by default,
AUPR by trapezoids. odin: the released program of ODIN: 100,000 equal steps, precision of rates, the
smallest detection error. ccag: the released program of Confident Classifier, printed in Table 1:
200,000 equal steps, AUROC without its last block. openood: out is the positive class: fpr95 is the
share of in images rejected when 95% of the out images are caught, at a point that ``roc_curve``
keeps."""

FORMER: tuple[str, ...] = ("seed_unthinned", "ccag_of_distances")
"""Definitions that older rows hold; ``measure`` still takes them.  seed_unthinned: ``seed`` with
every distinct score as a threshold, as ``roc_curve(drop_intermediate=False)`` has them.
ccag_of_distances: ``ccag`` of distances to the nearest class centre, where the paper's program
gives it their squares."""


def measure(
    in_scores: ArrayLike,
    out_scores: ArrayLike,
    *,
    convention: str = "exact",
    tpr: float = 0.95,
    score_range: tuple[float, float] | None = None,
) -> Metrics:
    """All five metrics from one sort.

    Args:
        in_scores: (N,) of in-distribution images, higher = more out-of-distribution.
        out_scores: (M,) of out-of-distribution images.
        convention: a name of ``CONVENTIONS`` or ``FORMER``.
        tpr: a share above 0 and at most 1; the two legacy programs know only their own 95%.
        score_range: (lowest, highest) score that ``odin`` steps through, by default the smallest
            and largest of all scores; no other convention takes it.

    Returns:
        The metrics, as fractions.

    Raises:
        ValueError: an unknown convention, a tpr or score_range that it does not take, or, in the
            legacy conventions, infinite scores, which no equal steps reach.
    """
    if convention not in CONVENTIONS + FORMER:
        raise ValueError(f"the convention {convention!r} is unknown; expected one of {CONVENTIONS}")
    if score_range is not None and convention != "odin":
        raise ValueError(
            f"score_range was given with the convention {convention!r}; only 'odin' steps through "
            "a fixed range"
        )
    if tpr != 0.95 and convention in ("odin", "ccag", "ccag_of_distances"):
        raise ValueError(
            f"a TPR of {tpr} was asked for; the convention {convention!r} is defined at 0.95 only"
        )
    _check_share(tpr)
    ranking = rank(in_scores, out_scores)
    if convention == "odin":
        return legacy.odin(ranking, score_range)
    if convention in ("ccag", "ccag_of_distances"):
        return legacy.ccag(ranking)
    if convention == "seed":
        return seed.measure(ranking, tpr)
    if convention == "seed_unthinned":
        return seed.measure_unthinned(ranking, tpr)
    return openood.measure(ranking, tpr) if convention == "openood" else exact.measure(ranking, tpr)


def _check_share(tpr: float) -> None:
    if not 0 < tpr <= 1:
        raise ValueError(f"a TPR of {tpr} was asked for; expected a share above 0 and at most 1")


def fpr_at_tpr(in_scores: ArrayLike, out_scores: ArrayLike, tpr: float = 0.95) -> float:
    """Share of out images accepted at the smallest threshold that accepts ``tpr`` of the in images.

    Args:
        in_scores: (N,) of in-distribution images, higher = more out-of-distribution.
        out_scores: (M,) of out-of-distribution images.
        tpr: a share above 0 and at most 1.

    Returns:
        A fraction, 0 is perfect.
    """
    _check_share(tpr)
    ranking = rank(in_scores, out_scores)
    return ranking.group_of(exact.needed(tpr, ranking.n_in), out=False).out_accepted / ranking.n_out


def detection_error(in_scores: ArrayLike, out_scores: ArrayLike, tpr: float = 0.95) -> float:
    """The mean of both error rates at a fixed TPR, 0.5 (1 - tpr) + 0.5 FPR.

    Args:
        in_scores: (N,) of in-distribution images, higher = more out-of-distribution.
        out_scores: (M,) of out-of-distribution images.
        tpr: a share above 0 and at most 1.

    Returns:
        A fraction; 0.025 is perfect at 95%.
    """
    return 0.5 * (1 - tpr) + 0.5 * fpr_at_tpr(in_scores, out_scores, tpr)


def best_detection_error(in_scores: ArrayLike, out_scores: ArrayLike) -> float:
    """The smallest mean of both error rates, 0.5 (1 - TPR) + 0.5 FPR, over all thresholds.

    Args:
        in_scores: (N,) of in-distribution images, higher = more out-of-distribution.
        out_scores: (M,) of out-of-distribution images.

    Returns:
        A fraction, 0 is perfect and 0.5 is chance.
    """
    return exact.best_detection_error(rank(in_scores, out_scores))


def auroc(in_scores: ArrayLike, out_scores: ArrayLike) -> float:
    """Probability that an out image scores above an in image; equal scores count half.

    Args:
        in_scores: (N,) of in-distribution images, higher = more out-of-distribution.
        out_scores: (M,) of out-of-distribution images.

    Returns:
        A fraction, 1 is perfect and 0.5 is chance.
    """
    return exact.areas(rank(in_scores, out_scores)).auroc


def aupr_in(in_scores: ArrayLike, out_scores: ArrayLike) -> float:
    """Average precision of accepting, in as the positive class.

    Args:
        in_scores: (N,) of in-distribution images, higher = more out-of-distribution.
        out_scores: (M,) of out-of-distribution images.

    Returns:
        A fraction, 1 is perfect; chance is N / (N + M), so it depends on the numbers of images.
    """
    return exact.areas(rank(in_scores, out_scores)).aupr_in


def aupr_out(in_scores: ArrayLike, out_scores: ArrayLike) -> float:
    """Average precision of rejecting, out as the positive class.

    Args:
        in_scores: (N,) of in-distribution images, higher = more out-of-distribution.
        out_scores: (M,) of out-of-distribution images.

    Returns:
        A fraction, 1 is perfect; chance is M / (N + M), so it depends on the numbers of images.
    """
    return exact.areas(rank(in_scores, out_scores)).aupr_out
