"""How a frozen network does where each class is left out in turn."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from knowbound.data.group_hold_out import hold_out_groups
from knowbound.detectors.detector import Detector, class_means
from knowbound.errors import UserError
from knowbound.metrics import auroc
from knowbound.workflows.audition.stage import HELD_OUT

ENOUGH = 0.97
"""A mark of a survey at which nothing else is tried."""
IN_TURN = 20
"""Classes that a survey leaves out in turn at most."""


@dataclass(frozen=True, eq=False)
class Survey:
    """How a frozen network does on every class: what costs nothing once its features are there.

    accuracy: of held-out images, all classes learned; novelty_auroc: mean over the classes, each
    left out in turn (of many classes ``IN_TURN``), of its images against held-out images of the
    others; None for two classes; alike: (C,) the class whose mean is nearest to that of each; held:
    (L,) which images were held out.
    """

    accuracy: float
    novelty_auroc: float | None
    alike: NDArray[np.int64]
    held: NDArray[np.bool_]

    @property
    def is_enough(self) -> bool:
        """Whether nothing else need be tried: both rates were measured and are high on average."""
        novelty = self.novelty_auroc
        return novelty is not None and (self.accuracy + novelty) / 2 >= ENOUGH


def survey(
    vectors: Tensor,
    labels: NDArray[np.int64],
    groups: NDArray[np.int64],
    make: Callable[[], Detector],
    seed: int,
) -> Survey | None:
    """What leaving out each class in turn shows; None where a class has too few images.

    Leaving out one draw of classes says little: where two classes are alike, all depends on whether
    one of them stays.

    Args:
        vectors: (L, R) what the detector reads of the images.
        labels: (L,) in 0..C-1.
        groups: (L,) of the images that belong together.
        make: makes a fresh detector.
        seed: of the draw of held-out images.
    """
    classes = int(labels.max(initial=-1)) + 1
    try:
        positions = hold_out_groups(labels, groups, HELD_OUT, np.random.default_rng([seed, 8]))
    except UserError:
        return None
    held = np.zeros(len(labels), dtype=bool)
    held[positions] = True
    whole = _taught(make(), vectors, labels, ~held)
    accuracy = float(np.mean(whole.classify(vectors[held]).numpy() == labels[held]))
    novelty = []
    drawn = np.random.default_rng([seed, 10]).permutation(classes)[:IN_TURN]
    for label in drawn.tolist() if classes > 2 else ():
        out = labels == label
        others = np.delete(np.arange(classes), label)
        detector = _taught(make(), vectors, np.searchsorted(others, labels), ~held & ~out)
        scores = detector.score(vectors).double().numpy()
        novelty.append(float(auroc(scores[held & ~out], scores[out])))
    rate = float(np.mean(novelty)) if novelty else None
    return Survey(accuracy, rate, _most_alike(vectors, labels), held)


def _most_alike(vectors: Tensor, labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """(C,) the class whose mean vector (C, R) is nearest to that of each; itself where it is
    alone."""
    means = class_means(vectors, torch.from_numpy(labels))
    apart = torch.cdist(means, means).fill_diagonal_(math.inf)
    nearest: NDArray[np.int64] = apart.argmin(dim=1).numpy()
    return nearest


def _taught(
    detector: Detector, vectors: Tensor, labels: NDArray[np.int64], chosen: NDArray[np.bool_]
) -> Detector:
    names = [str(label) for label in range(int(labels[chosen].max()) + 1)]
    detector.learn(vectors[chosen], torch.from_numpy(labels[chosen]), names)
    return detector
