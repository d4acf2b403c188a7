"""Synthetic outliers: seen-out images made from the known images alone, every kind at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from knowbound.data.outs.changed_copies import Invariances, changed_copies
from knowbound.data.outs.composed import composed_images
from knowbound.data.outs.exchanged import exchanged_patches
from knowbound.data.outs.made_pixels import MEMORY_LIMIT, keep_in_memory
from knowbound.data.source import Source


class SyntheticKind(StrEnum):
    """A way to make seen-out images from known ones."""

    COMPOSED = "composed"
    """The surroundings of a known image with another middle."""
    EXCHANGED = "exchanged patches"
    """Known images with a rectangle of an image of another class."""
    CHANGED = "changed copies"
    """Known images mirrored, flipped or turned, where this makes another class."""


USUAL_IMAGES = 6_000
"""Of each kind, in ``fit`` and in the tables."""
DEFAULT_KINDS = (SyntheticKind.COMPOSED, SyntheticKind.CHANGED)
"""What ``fit`` shows; what was tried and measured is in docs/synthetic_outliers.md."""


@dataclass(frozen=True)
class SyntheticOutliers:
    """A source of each kind that could be made, and a sentence on each that could not.

    Batches draw equally often from every source of seen-out images, so each kind has the same
    share of them.
    """

    sources: tuple[Source, ...]
    remarks: tuple[str, ...]

    def to_dict(self) -> dict[str, int]:
        """Images of each kind, by name."""
        return {source.name: len(source) for source in self.sources}


def synthetic_outliers(
    source: Source,
    invariances: Invariances,
    count: int,
    rng: np.random.Generator,
    kinds: Sequence[SyntheticKind] = DEFAULT_KINDS,
    *,
    memory_limit: int = MEMORY_LIMIT,
) -> SyntheticOutliers:
    """Seen-out images of every kind that these classes allow.

    Args:
        source: training images with labels 0..C-1.
        invariances: of its classes, from ``measure_invariances``.
        count: images of each kind.
        rng: draws them.
        kinds: the kinds, each at most once.
        memory_limit: bytes of images up to which a kind is held in memory; more are made whenever
            asked for.
    """
    sources, remarks = [], []
    for kind in kinds:
        missing = _cannot(kind, source, invariances)
        if missing:
            remarks.append(missing)
        elif kind is SyntheticKind.COMPOSED:
            sources.append(composed_images(source, count, rng, memory_limit=memory_limit))
        elif kind is SyntheticKind.EXCHANGED:
            sources.append(exchanged_patches(source, count, rng, memory_limit=memory_limit))
        else:
            copies = changed_copies(source, invariances, count, rng)
            sources.append(keep_in_memory(copies, memory_limit))
    return SyntheticOutliers(tuple(sources), tuple(remarks))


def _cannot(kind: SyntheticKind, source: Source, invariances: Invariances) -> str:
    """Why images of this kind cannot be made, one sentence, or nothing."""
    present = len(np.unique(source.labels[source.labels >= 0]))
    if kind is not SyntheticKind.CHANGED and present < 2:
        return f"{present} class has images, so no {kind} could be made, which take two classes"
    if kind is SyntheticKind.CHANGED and not invariances.outs:
        return (
            "no class changes when mirrored, flipped or turned, so there are no changed copies "
            "among the seen-out images"
        )
    return ""
