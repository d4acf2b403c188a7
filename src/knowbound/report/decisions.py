"""One model's decisions counted: rows are the truth, columns what the model said."""

from dataclasses import dataclass

import numpy as np

from knowbound.evidence import Evidence, JudgedSet
from knowbound.labels import Decision


@dataclass(frozen=True, slots=True)
class DecisionRow:
    """The decisions on one set of images."""

    name: str
    kind: str
    """``novelty``, ``anomaly``, or ``known`` for the in-distribution test set."""
    total: int
    counts: tuple[int, ...]
    """In the order of ``Decision``: known, novelty, anomaly."""

    @property
    def right(self) -> float | None:
        """Share of the images given the decision that is true of the set; None if it is empty."""
        decisions = [str(decision) for decision in Decision]
        return self.counts[decisions.index(self.kind)] / self.total if self.total else None


def decision_rows(evidence: Evidence) -> tuple[DecisionRow, ...]:
    """The decisions on every set of images.

    Args:
        evidence: of one model.

    Returns:
        A row for the in-distribution test set, then one for each out set.
    """
    return tuple(_row(judged) for judged in (evidence.in_set, *evidence.out_sets))


def class_accuracy(evidence: Evidence) -> tuple[float | None, float | None]:
    """Share of labelled test images given their class.

    Args:
        evidence: of one model.

    Returns:
        The share with nothing rejected, and the same among those said to be known; None without
        such images.
    """
    judged = evidence.in_set
    labelled = judged.labels >= 0
    right = judged.judgement.nearest == judged.labels
    known = labelled & (judged.decisions == str(Decision.KNOWN))
    overall, among_known = (
        float(right[mask].mean()) if mask.any() else None for mask in (labelled, known)
    )
    return overall, among_known


def counted(judged: JudgedSet) -> tuple[int, ...]:
    """How many images were called known, novelty and anomaly."""
    return tuple(int(np.sum(judged.decisions == str(decision))) for decision in Decision)


def _row(judged: JudgedSet) -> DecisionRow:
    counts = counted(judged)
    return DecisionRow(
        judged.name, str(judged.kind or Decision.KNOWN), len(judged.decisions), counts
    )
