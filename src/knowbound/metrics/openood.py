"""The metrics of OpenOOD's tables (version 1.5), where out is the positive class."""

import math

from knowbound.metrics import exact, seed
from knowbound.metrics.metrics import Metrics
from knowbound.metrics.ranking import Group, Ranking
from knowbound.metrics.roc_points import kept_positives


def measure(ranking: Ranking, tpr: float) -> Metrics:
    """All five numbers.

    fpr95: share of the in-distribution images rejected at the first threshold from above that
    catches at least ``tpr`` of the others (a score of at least the threshold is caught).  Only the
    thresholds count that scikit-learn's ``roc_curve`` keeps by default, so it may catch more.
    aupr_in has in as its positive class and aupr_out out, as the names say and as in our other
    conventions; both by trapezoids.  detection_error: 0.5 (1 - tpr) + 0.5 fpr95; OpenOOD itself
    prints none.
    """
    group = reached(ranking, tpr)
    fpr = (ranking.n_in - group.in_below) / ranking.n_in
    areas = exact.areas(ranking)
    aupr_in, aupr_out = seed.trapezoids(ranking)
    return Metrics(
        fpr,
        0.5 * (1 - tpr) + 0.5 * fpr,
        areas.auroc,
        aupr_in,
        aupr_out,
        areas.tie_share,
        group.score,
    )


def reached(ranking: Ranking, tpr: float) -> Group:
    """The group at the highest kept threshold that catches enough of the out images.

    Args:
        ranking: of the scores.
        tpr: the least share to catch.
    """
    fewest = math.inf
    for caught in kept_positives(ranking, out=True):
        enough = caught[caught / ranking.n_out >= tpr]
        fewest = min(fewest, float(enough.min(initial=math.inf)))
    return ranking.group_of(ranking.n_out - int(fewest) + 1, out=True)
