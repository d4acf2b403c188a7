"""What is said of images: of many as one record of arrays, of one in words."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from knowbound.labels import Decision
from knowbound.values import Array

A = TypeVar("A")
"""A torch tensor in the forward pass, a NumPy array everywhere else."""
DECISIONS = (Decision.KNOWN, Decision.NOVELTY, Decision.ANOMALY)


class Judgement(NamedTuple, Generic[A]):
    """The one record of what was said of N images, from the forward pass to the table."""

    embedding: A
    """(N, D) float32; the logits of a network without a metric head."""
    score: A
    """(N,) higher = more out-of-distribution."""
    p_value: A
    """(N,) in (0, 1]: conformal share of held-out in-distribution images that score as high."""
    domain_score: A
    """(N,) higher = less like the kind of picture that was taught, whatever its class."""
    nearest: A
    """(N,) int64, index of the class each image is taken for."""
    decision: A
    """(N,) int64, index into ``DECISIONS``: 0 known, 1 novelty, 2 anomaly."""


WHOLE = ("nearest", "decision")
"""The columns of whole numbers."""


def nothing_judged() -> Judgement[Array]:
    """The judgement of no image, its columns of the types of others."""
    columns = (np.empty(0, np.int64 if name in WHOLE else None) for name in Judgement._fields)
    return Judgement(*columns)._replace(embedding=np.empty((0, 0), np.float32))


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer for one image.  Its fields are the columns of the answer, in this order."""

    decision: Decision
    class_name: str | None
    """The class, or None where the image is not known."""
    nearest_class: str
    """The class the image is closest to, whatever the decision."""
    score: float
    """Higher = more out-of-distribution; for nearest centre the distance itself."""
    threshold: float
    """Known if and only if ``score <= threshold``."""
    p_value: float
    """Conformal share of held-out in-distribution images that score at least as high."""
    domain_score: float
    """Higher = less like the kind of picture that was taught, whatever its class."""


def verdicts(
    judgement: Judgement[Any], thresholds: Sequence[float], class_names: Sequence[str]
) -> list[Verdict]:
    """The judgement in words, one verdict for each image.

    Args:
        judgement: of N images, as arrays.
        thresholds: (N,) of each image.
        class_names: of the classes 0..C-1.
    """
    columns = zip(
        judgement.decision.tolist(),
        judgement.nearest.tolist(),
        judgement.score.tolist(),
        thresholds,
        judgement.p_value.tolist(),
        judgement.domain_score.tolist(),
        strict=True,
    )
    return [
        Verdict(
            decision=DECISIONS[decision],
            class_name=class_names[nearest] if decision == 0 else None,
            nearest_class=class_names[nearest],
            score=score,
            threshold=float(threshold),
            p_value=p_value,
            domain_score=domain_score,
        )
        for decision, nearest, score, threshold, p_value, domain_score in columns
    ]
