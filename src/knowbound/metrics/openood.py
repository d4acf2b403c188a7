"""The metrics of OpenOOD's tables (version 1.5), where out is the positive class."""

from knowbound.metrics import exact, seed
from knowbound.metrics.metrics import Metrics
from knowbound.metrics.ranking import Ranking


def measure(ranking: Ranking, tpr: float) -> Metrics:
    """All five numbers.

    fpr95: share of the in images rejected where at least ``tpr`` of the out images are caught, that
    is, have a score of at least the threshold.  aupr_in has in as its positive class and aupr_out
    out, as the names say and as in our other conventions; both by trapezoids.  detection_error: 0.5
    (1 - tpr) + 0.5 fpr95; OpenOOD itself prints none.
    """
    group = ranking.group_of(ranking.n_out - exact.needed(tpr, ranking.n_out) + 1, out=True)
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
