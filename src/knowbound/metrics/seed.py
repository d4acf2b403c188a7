"""The metrics of Tables 2 to 4 of the paper, as the authors' released program computes them.

Its function ``calculate_metrics`` takes scikit-learn's ``roc_curve`` with in-distribution images as
the positive class, and of the points that are left the one with the TPR nearest 95%.  By default
``roc_curve`` drops points between others (``roc_points``), so the TPR found may be far from 95%:
where every in-distribution image lies below every other it is 100%, the FPR and the detection error
are 0.  The areas under the precision-recall curves are trapezoids.
"""

import math

import numpy as np

from knowbound.metrics import exact
from knowbound.metrics.metrics import Metrics
from knowbound.metrics.ranking import Floats, Group, Ranking, inner
from knowbound.metrics.roc_points import kept_positives

NOTHING = Group(-math.inf, 0, 0, 0, 0)
"""The point where no image is accepted; every ROC curve starts there."""


def measure(ranking: Ranking, tpr: float) -> Metrics:
    """All five numbers as scikit-learn's curves give them.

    The detection error is 0.5 (1 - TPR) + 0.5 FPR at the TPR found, not the one asked for.

    Args:
        ranking: of the scores.
        tpr: that is looked for.
    """
    return _at(ranking, nearest(ranking, tpr))


def measure_unthinned(ranking: Ranking, tpr: float) -> Metrics:
    """The same where every distinct score is a threshold: ``roc_curve(drop_intermediate=False)``.
    The TPR found is then the nearest that any threshold has."""
    return _at(ranking, nearest_of_all(ranking, tpr))


def _at(ranking: Ranking, group: Group) -> Metrics:
    found, fpr = group.in_accepted / ranking.n_in, group.out_accepted / ranking.n_out
    areas = exact.areas(ranking)
    aupr_in, aupr_out = trapezoids(ranking)
    return Metrics(
        fpr,
        0.5 * (1 - found) + 0.5 * fpr,
        areas.auroc,
        aupr_in,
        aupr_out,
        areas.tie_share,
        group.score,
    )


def nearest(ranking: Ranking, tpr: float) -> Group:
    """The threshold with the TPR nearest to the one asked for among those that ``roc_curve`` keeps,
    the lower TPR of two equally near.

    Of two thresholds with one TPR the curve has the smaller first, and keeps it: it ends with an
    in-distribution image, and the next one does not.

    Args:
        ranking: of the scores.
        tpr: that is looked for.
    """
    best, accepted = math.inf, 0.0
    for counts in kept_positives(ranking, out=False):
        if counts.size:
            apart = np.abs(counts / ranking.n_in - tpr)
            here = int(apart.argmin())
            best, accepted = min((best, accepted), (float(apart[here]), float(counts[here])))
    return ranking.group_of(int(accepted), out=False) if accepted else NOTHING


def nearest_of_all(ranking: Ranking, tpr: float) -> Group:
    """The smallest threshold with the nearest TPR, the lower TPR of two equally near.

    Args:
        ranking: of the scores.
        tpr: that is looked for.
    """
    above = ranking.group_of(exact.needed(tpr, ranking.n_in), out=False)
    below = ranking.group_of(above.in_below, out=False) if above.in_below else NOTHING
    lower, upper = (abs(each.in_accepted / ranking.n_in - tpr) for each in (below, above))
    return below if lower <= upper else above


def trapezoids(ranking: Ranking) -> tuple[float, float]:
    """(AUPR-in, AUPR-out): areas under straight lines through all points (recall, precision), from
    (0, 1) on.

    Args:
        ranking: of the scores.
    """
    total = ranking.n_in + ranking.n_out
    area_in, area_out = [], []
    for stretch in ranking.stretches():
        groups = stretch.grouped()
        accepted = groups.accepted_in + groups.accepted_out
        caught = ranking.n_out - groups.accepted_out
        area_in.append(_under(groups.accepted_in, accepted))
        area_out.append(-_under(caught, total - accepted))  # recall falls while the threshold rises
    return math.fsum(area_in) / ranking.n_in, math.fsum(area_out) / ranking.n_out


def _under(positives: Floats, selected: Floats) -> float:
    """The area between neighbouring points, in images; where nothing is selected the precision
    counts as 1."""
    precision = np.divide(positives, selected, out=np.ones_like(positives), where=selected > 0)
    return inner(np.diff(positives), precision[1:] + precision[:-1]) / 2
