"""The threshold at which accepted images have the right class: selective classification."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaincinv

from knowbound.errors import UserError


class ErrorNotKept(UserError):
    """No threshold keeps the error of the accepted images."""


class SelectiveThreshold(NamedTuple):
    """A threshold and what is known of the images it accepts."""

    threshold: float
    """Accept if and only if score <= threshold."""
    error_bound: float
    """The share of accepted images with the wrong class is at most this, with the confidence asked
    for."""
    coverage: float
    """Share of the held-out images that it accepts."""
    accepted: int
    errors: int
    """Accepted held-out images, and how many of them have the wrong class."""


def threshold_for_error(
    scores: ArrayLike,
    correct: ArrayLike,
    max_error: float,
    confidence: float = 0.95,
    *,
    groups: ArrayLike | None = None,
    at_most: float = math.inf,
) -> SelectiveThreshold:
    """The largest threshold found at which, with this confidence, at most ``max_error`` of the
    accepted images have the wrong class (Geifman and El-Yaniv 2017, Algorithm 1).

    A binary search over the scores looks at k = log2(N) thresholds.  At each the error of new
    images is bounded by the exact binomial tail with (1 - confidence) / k.  As in the paper, the
    error is taken to grow with the threshold.  Thresholds that accept too few images to show an
    error of ``max_error``, even if all are right, are not looked at.

    Args:
        scores: (N,) of held-out in-distribution images, higher = more out-of-distribution.
        correct: (N,) bool, whether each one's class is right.
        max_error: share of accepted images with a wrong class, above 0 and below 1.
        confidence: share of draws of held-out images in which this holds.
        groups: (N,) the group of each image; the first image of each group is used, as images of a
            group are not independent.
        at_most: a threshold that is not exceeded; it is the answer where all that it accepts may be
            accepted.

    Raises:
        ErrorNotKept: no threshold keeps the error.
        UserError: a share that cannot be.
    """
    for what, value in (("an error", max_error), ("a confidence", confidence)):
        if not 0 < value < 1:
            raise UserError(f"{what} of {value} was asked for; expected a share between 0 and 1")
    values, right = np.asarray(scores, dtype=np.float64), np.asarray(correct, dtype=bool)
    if values.ndim != 1 or values.shape != right.shape or np.isnan(values).any():
        raise ValueError(
            f"scores of shape {values.shape} and {right.shape} answers were given; expected (N,) "
            "numbers and (N,) bool"
        )
    if groups is not None:
        first = np.sort(np.unique(np.asarray(groups), return_index=True)[1])
        values, right = values[first], right[first]
    distinct, accepted, errors = _steps(values[values <= at_most], right[values <= at_most])
    doubt = (1 - confidence) / max(1, len(distinct).bit_length())
    least = _least(doubt, max_error)
    low, high, best = int(np.searchsorted(accepted, least)), len(distinct) - 1, -1
    while low <= high:
        middle = (low + high) // 2
        if _bound(errors[middle], accepted[middle], doubt) <= max_error:
            best, low = middle, middle + 1
        else:
            high = middle - 1
    if best < 0:
        raise ErrorNotKept(
            f"no threshold keeps the error of accepted images at {max_error:g} with a confidence "
            f"of {confidence:g}: {int(errors[-1]) if len(errors) else 0} of "
            f"{int(accepted[-1]) if len(errors) else 0} held-out images that could be accepted "
            f"have the wrong class; expected at least {least} images, the best of them nearly all "
            "right: give more images, or allow a larger error"
        )
    count, wrong = int(accepted[best]), int(errors[best])
    bound = _bound(wrong, count, doubt)
    all_of_them = best == len(distinct) - 1 and at_most < math.inf
    threshold = at_most if all_of_them else float(distinct[best])
    return SelectiveThreshold(threshold, bound, count / len(values), count, wrong)


def least_accepted(max_error: float, confidence: float, count: int) -> int:
    """The fewest accepted images that can show an error of ``max_error``, all of them right.

    Args:
        max_error: share of accepted images with a wrong class, above 0 and below 1.
        confidence: of the statement.
        count: distinct scores that are looked at.
    """
    return _least((1 - confidence) / max(1, count.bit_length()), max_error)


def _least(doubt: float, max_error: float) -> int:
    return math.ceil(math.log(doubt) / math.log(1 - max_error))


Counts = NDArray[np.int64]


def _steps(
    scores: NDArray[np.float64], correct: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], Counts, Counts]:
    """(distinct scores ascending, images up to each, wrong ones up to each), all (T,)."""
    distinct, step = np.unique(scores, return_inverse=True)
    accepted = np.cumsum(np.bincount(step, minlength=len(distinct)))
    errors = np.cumsum(np.bincount(step[~correct], minlength=len(distinct)))
    return distinct, accepted, errors


def _bound(errors: int, count: int, doubt: float) -> float:
    """The largest error rate under which so few errors of ``count`` have a chance above
    ``doubt``."""
    return 1.0 if errors >= count else float(betaincinv(errors + 1, count - errors, 1 - doubt))
