"""Which classes nobody taught a model takes for known ones, and for which."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np

from knowbound.evidence import JudgedSet


@dataclass(frozen=True)
class Accepted:
    """How many images of one unknown class were accepted at FPR95's threshold, and as which known
    classes."""

    name: str
    images: int
    accepted: int
    taken_for: tuple[tuple[str, int], ...]
    """Known classes with counts, most first."""


def accepted_by_class(
    inside: JudgedSet,
    novelty: JudgedSet,
    known_classes: Sequence[str],
    unknown_classes: Sequence[str],
    tpr: float = 0.95,
) -> list[Accepted]:
    """For each unknown class, most accepted first.

    Args:
        inside: in-distribution test images.  The threshold is the smallest score that accepts
            ``tpr`` of them, as in FPR95.
        novelty: images of unknown classes; their labels are indices into ``unknown_classes``.
        known_classes: of the model.
        unknown_classes: of ``novelty``.
        tpr: share of in-distribution images accepted, in (0, 1].
    """
    scores = np.sort(inside.judgement.score)
    threshold = scores[ceil(tpr * len(scores) - 1e-9) - 1]
    judged, found = novelty.judgement, []
    for label, name in enumerate(unknown_classes):
        mine = novelty.labels == label
        nearest = judged.nearest[mine & (judged.score <= threshold)]
        counts = Counter(known_classes[index] for index in nearest)
        found.append(Accepted(name, int(mine.sum()), len(nearest), tuple(counts.most_common())))
    return sorted(found, key=lambda row: (-row.accepted, row.name))


def accepted_table(rows: Sequence[Accepted]) -> str:
    """The classes of which something is accepted, as a Markdown table.

    Args:
        rows: of ``accepted_by_class``.
    """
    lines = ["| unseen class | images | accepted | taken for |\n|---|---:|---:|---|"]
    for row in rows:
        if row.accepted:
            taken = ", ".join(f"{name} ({count})" for name, count in row.taken_for)
            lines.append(f"| {row.name} | {row.images:,} | {row.accepted:,} | {taken} |")
    return "\n".join(lines)
