"""Which images of a batch to call unknown so that few of them are known ones."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from knowbound.errors import UserError
from knowbound.judgement.judgement import Verdict
from knowbound.labels import Decision

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
    check_fdr(fdr)
    values = np.asarray(p_values, dtype=np.float64)
    if values.ndim != 1 or not ((values >= 0) & (values <= 1)).all():
        raise ValueError(
            f"p-values of shape {values.shape} were given; expected (N,) numbers in 0..1"
        )
    ascending = np.sort(values)
    passing = ascending <= fdr * np.arange(1, len(values) + 1) / max(len(values), 1) + ROUNDING
    largest = ascending[np.flatnonzero(passing)[-1]] if passing.any() else -1.0
    return np.asarray(values <= largest)


def check_fdr(fdr: float) -> None:
    """Check a false discovery rate.

    Raises:
        UserError: it is no share.
    """
    if not 0 < fdr < 1:
        raise UserError(
            f"a false discovery rate of {fdr} was asked for; expected a share between 0 and 1, "
            "such as 0.1"
        )


def verdicts_at_fdr(
    verdicts: Sequence[Verdict], fdr: float, domain_threshold: float
) -> list[Verdict]:
    """The verdicts on a batch, decided together: on average at most ``fdr`` of the images called
    unknown are known ones.

    The threshold of each verdict becomes the highest score called known in the batch, among images
    that had the same threshold; where none is, a number just below their lowest score.  A score
    that is no number is never known.

    Args:
        verdicts: of N images, as the model's own threshold decided.
        fdr: share of known images among those called unknown, above 0 and below 1.
        domain_threshold: an unknown image is an anomaly if its domain score is above.

    Raises:
        UserError: a share that cannot be.
    """
    called = novelties_at_fdr([verdict.p_value for verdict in verdicts], fdr)
    known = [
        not unknown and not math.isnan(verdict.score)
        for unknown, verdict in zip(called, verdicts, strict=True)
    ]
    highest: dict[float, float] = {}
    lowest: dict[float, float] = {}
    for verdict, is_known in zip(verdicts, known, strict=True):
        own, score = verdict.threshold, verdict.score
        if is_known:
            highest[own] = max(score, highest.get(own, -math.inf))
        elif not math.isnan(score):
            lowest[own] = min(score, lowest.get(own, math.inf))
    return [
        _decided(
            verdict,
            is_known,
            highest.get(
                verdict.threshold,
                math.nextafter(lowest.get(verdict.threshold, verdict.threshold), -math.inf),
            ),
            domain_threshold,
        )
        for verdict, is_known in zip(verdicts, known, strict=True)
    ]


def _decided(
    verdict: Verdict, is_known: bool, threshold: float, domain_threshold: float
) -> Verdict:
    unknown = Decision.NOVELTY if verdict.domain_score <= domain_threshold else Decision.ANOMALY
    return replace(
        verdict,
        decision=Decision.KNOWN if is_known else unknown,
        class_name=verdict.nearest_class if is_known else None,
        threshold=threshold,
    )
