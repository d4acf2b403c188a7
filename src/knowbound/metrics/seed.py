"""The metrics of Tables 2 to 4 of the paper: the TPR nearest the asked one, and AUPR by
trapezoids."""

import math

import numpy as np

from knowbound.metrics import exact
from knowbound.metrics.metrics import Metrics
from knowbound.metrics.ranking import Floats, Group, Ranking, inner


def measure(ranking: Ranking, tpr: float) -> Metrics:
    """All five numbers.  The detection error is 0.5 (1 - TPR) + 0.5 FPR at the TPR found, not the
    one asked for."""
    group = nearest(ranking, tpr)
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
    """The smallest threshold with the TPR nearest to ``tpr``, the lower TPR of two equally near."""
    above = ranking.group_of(exact.needed(tpr, ranking.n_in), out=False)
    if not above.in_below:
        return above
    below = ranking.group_of(above.in_below, out=False)
    near = abs(below.in_accepted / ranking.n_in - tpr) <= abs(
        above.in_accepted / ranking.n_in - tpr
    )
    return below if near else above


def trapezoids(ranking: Ranking) -> tuple[float, float]:
    """(AUPR-in, AUPR-out): areas under straight lines through all points (recall, precision), from
    (0, 1) on."""
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
