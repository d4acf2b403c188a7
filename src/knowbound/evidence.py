"""What one trained model said of every set of images: all that a report needs, as plain arrays."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from knowbound.judgement import DECISIONS, Judgement
from knowbound.labels import Kind
from knowbound.outputs import Field
from knowbound.result import Result
from knowbound.values import Array, JsonMapping, Pixels


@dataclass(frozen=True, eq=False)
class JudgedSet:
    """One set of N images as one model judged it."""

    name: str
    kind: Kind | None
    """None for the in-distribution test set."""
    images: Pixels
    """(N, C, H, W), C = 1 or 3: an array, or files that are decoded when asked for."""
    labels: NDArray[np.int64]
    """(N,) the true class, -1 for out images."""
    judgement: Judgement[Array]
    """What the model said of every image."""
    paths: tuple[str, ...] = ()
    """Where each image came from; empty if it came from no file."""

    def __len__(self) -> int:
        return len(self.labels)

    def images_at(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Some of the images, to be shown.

        Args:
            indices: (B,) positions.

        Returns:
            (B, C, H, W) in 0..255.
        """
        images: Array = self.images[indices]
        return images if images.dtype == np.uint8 else np.rint(images * 255).astype(np.uint8)

    @property
    def decisions(self) -> NDArray[np.str_]:
        """(N,) ``known``, ``novelty`` or ``anomaly``."""
        words: NDArray[np.str_] = np.array([str(decision) for decision in DECISIONS])
        return words.take(self.judgement.decision)


@dataclass(frozen=True, eq=False)
class Evidence:
    """One trained model's judgement of the in-distribution test set and of every out set."""

    method: str
    class_names: tuple[str, ...]
    threshold: float
    """Known if and only if score <= threshold."""
    acceptance: float
    """Share of held-out in-distribution images the threshold was set to accept."""
    domain_threshold: float
    """An unknown image is an anomaly if its domain score is above."""
    centres: NDArray[np.float32] | None
    """(C, D) class centres, or None for a detector that has none."""
    in_set: JudgedSet
    out_sets: tuple[JudgedSet, ...]
    promise: JsonMapping
    """The range in which the acceptance of new known images lies, and from what it was set."""
    shows: Field
    """What the embedding of the judgements is: of a network without a metric head its logits."""
    results: tuple[Result, ...]
    """The rows of this model, every convention that was computed."""
