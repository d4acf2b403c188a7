"""The metrics as they are defined: every distinct score is a threshold, ties count half.

In-distribution is the positive class, as in Supplement A of the paper.  An image is accepted as in-distribution if its score is
at most the threshold.
"""

import math

import numpy as np
from numpy.typing import NDArray

from knowbound.metrics.counts import Counts


def fpr_at(counts: Counts, tpr: float) -> tuple[float, float]:
    """(FPR, threshold) at the smallest threshold that accepts at least ``tpr`` of the in images."""
    needed = max(1, math.ceil(tpr * counts.n_in - 1e-9))
    index = int(np.searchsorted(counts.accepted_in, needed))
    return float(counts.accepted_out[index]) / counts.n_out, float(counts.thresholds[index])


def fpr_near(counts: Counts, tpr: float) -> tuple[float, float, float]:
    """(FPR, TPR, threshold) at the threshold whose TPR is nearest to ``tpr``, the lower one of two equally near."""
    index = int(np.abs(counts.accepted_in / counts.n_in - tpr).argmin())
    fpr, found = counts.accepted_out[index] / counts.n_out, counts.accepted_in[index] / counts.n_in
    return float(fpr), float(found), float(counts.thresholds[index])


def auroc(counts: Counts) -> float:
    """Probability that an out image scores above an in image; equal scores count half."""
    out_here = np.diff(counts.accepted_out, prepend=0)
    in_here = np.diff(counts.accepted_in, prepend=0)
    above = counts.n_out - counts.accepted_out + 0.5 * out_here
    return float(np.dot(in_here, above)) / (counts.n_in * counts.n_out)


def aupr_in(counts: Counts) -> float:
    """Average precision with in as the positive class: precision at each threshold weighted by the recall it adds."""
    return average_precision(counts.accepted_in, counts.accepted_out)


def aupr_out(counts: Counts) -> float:
    """The same with out as the positive class, images called out from the highest score downwards."""
    return average_precision(*rejected(counts))


def average_precision(positives: NDArray[np.int64], negatives: NDArray[np.int64]) -> float:
    """Sum of precision x added recall; positives, negatives: (T,) how many of each are selected so far, ascending."""
    added = np.diff(positives, prepend=0)
    return float(np.dot(added, positives / (positives + negatives))) / float(positives[-1])


def aupr_trapezoid(positives: NDArray[np.int64], negatives: NDArray[np.int64]) -> float:
    """Area under straight lines through the points (recall, precision), from (0, 1) on."""
    recall = np.concatenate([[0.0], positives / positives[-1]])
    precision = np.concatenate([[1.0], positives / (positives + negatives)])
    return float(np.trapezoid(precision, recall))


def rejected(counts: Counts) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(out images, in images) with a score of at least each distinct score, from the highest score downwards."""
    below_out = np.concatenate([[0], counts.accepted_out[:-1]])
    below_in = np.concatenate([[0], counts.accepted_in[:-1]])
    return (counts.n_out - below_out)[::-1], (counts.n_in - below_in)[::-1]


def best_detection_error(counts: Counts) -> float:
    """The smallest 0.5 (1 - TPR) + 0.5 FPR over all thresholds, accepting nothing included."""
    errors = 0.5 * (1 - counts.accepted_in / counts.n_in) + 0.5 * counts.accepted_out / counts.n_out
    return min(0.5, float(errors.min()))
