"""The metrics as they are defined: every distinct score is a threshold, ties count half.

In-distribution is the positive class, as in Supplement A of the paper.  An image is accepted as
in-distribution if its score is at most the threshold.
"""

import math
from dataclasses import dataclass

import numpy as np

from knowbound.metrics.metrics import Metrics
from knowbound.metrics.ranking import Distinct, Group, Grouped, Ranking, inner


def measure(ranking: Ranking, tpr: float) -> Metrics:
    """All five numbers by their definitions.

    Args:
        ranking: of the scores.
        tpr: fpr95 is taken at the smallest threshold that accepts at least this share of the in
            images.
    """
    found, group = walk(ranking, needed(tpr, ranking.n_in))
    fpr = group.out_accepted / ranking.n_out
    return Metrics(
        fpr,
        0.5 * (1 - tpr) + 0.5 * fpr,
        found.auroc,
        found.aupr_in,
        found.aupr_out,
        found.tie_share,
        group.score,
    )


def needed(share: float, count: int) -> int:
    """The smallest number of images, at least 1, that is a share of ``count``, judged as n / count
    >= share.

    Args:
        share: above 0 and at most 1.
        count: 1 or more.
    """
    n = max(1, math.ceil(share * count))
    return (
        n - 1 if n > 1 and (n - 1) / count >= share else n
    )  # share * count may land a hair above a whole number


@dataclass(frozen=True, slots=True)
class Areas:
    """The metrics over all thresholds; aupr is average precision: the sum of precision x added
    recall, equal scores together."""

    auroc: float
    aupr_in: float
    aupr_out: float
    tie_share: float


def areas(ranking: Ranking) -> Areas:
    """All areas."""
    return walk(ranking, 1)[0]


def walk(ranking: Ranking, nth: int) -> tuple[Areas, Group]:
    """All areas, and the group of one in image, in one walk up the ranking.

    Pairs are counted in whole numbers, so the AUROC is rounded once.

    Args:
        ranking: of the scores.
        nth: which in image, from 1.
    """
    pairs, tied, holder = 0, 0, None
    precision_in: list[float] = []
    precision_out: list[float] = []
    for stretch in ranking.stretches():
        if isinstance(stretch, Distinct):
            right, equal, of_in, of_out = _add_distinct(ranking, stretch)
        else:
            right, equal, of_in, of_out = _add_grouped(ranking, stretch)
        pairs, tied = pairs + right, tied + equal
        precision_in.append(of_in)
        precision_out.append(of_out)
        if holder is None and nth <= stretch.in_accepted:
            holder = stretch
    if holder is None:
        raise ValueError(f"in image {nth} was asked for; there are {ranking.n_in}")
    found = Areas(
        pairs / (2 * ranking.n_in * ranking.n_out),
        math.fsum(precision_in) / ranking.n_in,
        math.fsum(precision_out) / ranking.n_out,
        tied / (ranking.n_in + ranking.n_out),
    )
    return found, ranking.group_in(holder, nth, out=False)


def _add_distinct(ranking: Ranking, here: Distinct) -> tuple[int, int, float, float]:
    """(twice the rightly ordered pairs, tied images, precision summed over in and over out images),
    from the places alone."""
    start, total = here.in_below + here.out_below, ranking.n_in + ranking.n_out
    in_places, out_places = np.flatnonzero(~here.is_out), np.flatnonzero(here.is_out)
    n_in, n_out = len(in_places), len(out_places)
    in_under = (
        int(out_places.sum()) - n_out * (n_out - 1) // 2 + n_out * here.in_below
    )  # summed over the out images here
    accepted = np.arange(here.in_below + 1.0, here.in_below + n_in + 1.0)
    caught = np.arange(
        float(ranking.n_out - here.out_below), ranking.n_out - here.out_below - n_out, -1.0
    )
    accepted /= in_places + (
        start + 1.0
    )  # in place: fresh memory would cost as much as the division
    caught /= float(total - start) - out_places
    return 2 * in_under, 0, float(accepted.sum()), float(caught.sum())


def _add_grouped(ranking: Ranking, here: Grouped) -> tuple[int, int, float, float]:
    """The same from groups of equal scores, each a threshold."""
    accepted = here.accepted_in + here.accepted_out
    total = ranking.n_in + ranking.n_out
    sizes, in_here = np.diff(accepted), np.diff(here.accepted_in)
    out_here = sizes - in_here
    twice = int(inner(out_here, here.accepted_in[1:] + here.accepted_in[:-1]))
    tied = int(accepted[-1] - accepted[0]) - int(np.count_nonzero(sizes == 1))
    of_in = inner(in_here, here.accepted_in[1:] / accepted[1:])
    of_out = inner(out_here, (ranking.n_out - here.accepted_out[:-1]) / (total - accepted[:-1]))
    return twice, tied, of_in, of_out


def best_detection_error(ranking: Ranking) -> float:
    """The smallest 0.5 (1 - TPR) + 0.5 FPR over all thresholds, accepting nothing included.

    Args:
        ranking: of the scores.

    Returns:
        A fraction.
    """
    best = 0.5
    for stretch in ranking.stretches():
        groups = stretch.grouped()
        errors = (
            0.5 * (1 - groups.accepted_in / ranking.n_in)
            + 0.5 * groups.accepted_out / ranking.n_out
        )
        best = min(best, float(errors.min()))
    return best
