"""The points of a ROC curve that scikit-learn's ``roc_curve`` keeps by default.

``roc_curve(drop_intermediate=True)`` drops a threshold whose images, in and out, are as many as
those of the next one: on a drawn curve the point lies between its neighbours on a straight line.  A
run of in-distribution images without an out-of-distribution image between them becomes one step, so
"the TPR nearest 95%" of such a curve may be far from 95%.
"""

from collections.abc import Iterator

import numpy as np

from knowbound.metrics.ranking import Floats, Ranking


def kept_positives(ranking: Ranking, *, out: bool) -> Iterator[Floats]:
    """How many positive images are selected at the points that are kept: blocks of numbers.

    The point where nothing is selected, the first threshold and the last are always among them.

    Args:
        ranking: the images of both sets.
        out: False: in-distribution images are positive, and thresholds rise from the lowest score;
            True: out-of-distribution images are positive, and thresholds fall from the highest.
    """
    count = ranking.n_out if out else ranking.n_in
    yield np.array([0.0, count])
    before = np.empty((2, 0))  # (in, out) accepted below the last group of the block before
    for stretch in ranking.stretches():
        groups = stretch.grouped()
        accepted = np.concatenate([before, [groups.accepted_in, groups.accepted_out]], axis=1)
        sizes = np.diff(accepted)
        corner = (sizes[:, 1:] != sizes[:, :-1]).any(axis=0)
        if not out and not before.size:
            yield accepted[0, 1:2]  # the lowest score
        inside, outside = accepted[:, 1:-1][:, corner]
        yield ranking.n_out - outside if out else inside
        before = accepted[:, -2:-1]
    if out:
        yield ranking.n_out - before[1]  # the highest score
