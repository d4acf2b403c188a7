"""How many in and out images each threshold accepts: what every exact metric is made of."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Scores = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Counts:
    """Accepted images at every distinct score taken as threshold, in ascending order.

    thresholds: (T,); accepted_in, accepted_out: (T,) int64, the numbers of in and out images with score <= threshold;
    n_in, n_out: all of them; tied: images whose score another image has too.
    """

    thresholds: Scores
    accepted_in: NDArray[np.int64]
    accepted_out: NDArray[np.int64]
    n_in: int
    n_out: int
    tied: int


def as_scores(name: str, values: ArrayLike) -> Scores:
    """The values as a 1-D float64 array.  Raises ValueError for another shape, no value at all, or one that is not a number."""
    scores = np.asarray(values)
    if scores.ndim != 1 or not scores.size:
        raise ValueError(f"{name} has the shape {scores.shape}; expected (N,) with at least one score")
    if scores.dtype.kind not in "fiub":
        raise ValueError(f"{name} holds {scores.dtype}; expected numbers")
    scores = scores.astype(np.float64, copy=False)
    if np.isnan(scores).any():
        raise ValueError(
            f"{name} holds {int(np.isnan(scores).sum())} values that are not numbers (NaN); expected a score for every image"
        )
    return scores


def count(in_scores: Scores, out_scores: Scores) -> Counts:
    """The counts, from one sort of each array and one merge of the two.

    Memory: the sorted scores, an order and a few integers for each image, about 40 bytes an image.
    """
    n_in, n_out = len(in_scores), len(out_scores)
    runs = np.concatenate([np.sort(in_scores), np.sort(out_scores)])
    order = np.argsort(runs, kind="stable")  # a stable sort of two sorted runs is one merge
    merged = runs[order]
    is_out = order >= n_in
    last = np.flatnonzero(_changes(merged))  # the last image of each group of equal scores
    accepted = last + 1
    accepted_out = np.cumsum(is_out, dtype=np.int64)[last]
    sizes = np.diff(accepted, prepend=0)
    return Counts(merged[last], accepted - accepted_out, accepted_out, n_in, n_out, int(sizes[sizes > 1].sum()))


def _changes(merged: Scores) -> NDArray[np.bool_]:
    changes: NDArray[Any] = np.empty(len(merged), dtype=bool)
    np.not_equal(merged[1:], merged[:-1], out=changes[:-1])
    changes[-1] = True
    return changes
