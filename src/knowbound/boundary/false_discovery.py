"""Which images of a batch to call unknown so that few of them are known ones."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from knowbound.errors import UserError

ROUNDING = 1e-12
"""Of p-values, which are quotients: equality counts as small enough."""


def novelties_at_fdr(p_values: ArrayLike, fdr: float) -> NDArray[np.bool_]:
    """Which images to call unknown, so that on average at most ``fdr`` of them are known ones
    (Benjamini and Hochberg 1995).

    With i the largest number for which the i-th smallest p-value is at most fdr i / N, those i
    images are called unknown.  Conformal p-values of one held-out set depend on each other, in a
    way that keeps the promise (Bates et al. 2023, Theorem 2).  It is for a batch judged together:
    an image's answer depends on the other images.  Small held-out sets give no small p-values: of n
    images none is below 1 / (n + 1), and then only many unknown images can be found.

    Args:
        p_values: (N,) conformal p-values, in 0..1.
        fdr: share of known images among those called unknown, above 0 and below 1.

    Returns:
        (N,) bool, all False where nothing is sure enough.

    Raises:
        UserError: a share that cannot be.
        ValueError: p-values that are none.
    """
    if not 0 < fdr < 1:
        raise UserError(
            f"a false discovery rate of {fdr} was asked for; expected a share between 0 and 1, "
            "such as 0.1"
        )
    values = np.asarray(p_values, dtype=np.float64)
    if values.ndim != 1 or not ((values >= 0) & (values <= 1)).all():
        raise ValueError(
            f"p-values of shape {values.shape} were given; expected (N,) numbers in 0..1"
        )
    ascending = np.sort(values)
    passing = ascending <= fdr * np.arange(1, len(values) + 1) / max(len(values), 1) + ROUNDING
    largest = ascending[np.flatnonzero(passing)[-1]] if passing.any() else -1.0
    return np.asarray(values <= largest)
