"""1-vs-set machine (Scheirer et al., PAMI 2013): each class lies between two parallel planes."""

from typing import Self

import numpy as np
import torch
from torch import Tensor

from knowbound.detectors.detector import Detector
from knowbound.detectors.learning import count_classes
from knowbound.detectors.scale import inverse_deviations
from knowbound.errors import UserError
from knowbound.outputs import Field

POSITIONS = 64
"""Places that each plane of a class is tried at."""


class OneVsSet(Detector):
    """Scores an image by minus how deep it lies in the slab of the class that fits best.

    For each class a linear support vector machine is trained against all others, on standardised
    features and with equal weight for both sides.  With s the signed distance to its plane, the
    class is the slab near <= s <= far, and an image lies min(s - near, far - s) deep in it: below 0
    outside.  The two planes are those with the least risk (Section 4)

        (far - near) / delta + delta / (far - near) + weight * (missed + accepted),

    where delta is the spread of s over the images of the class.  The first two terms are the
    open-space risk: a wide slab accepts what was never seen, a narrow one is no class.  ``missed``
    is the share of the class outside the slab, ``accepted`` the share of other classes inside.
    Planes are tried at up to 64 images of the class each, all pairs of them; the authors move one
    plane after the other.  The far plane then moves out by the margin of the machine, as in their
    program, because the images of a class gather there.  Their pressures, which push planes by
    hand, are left out; they are 0 in the program unless given.

    A slab bounds a class in one direction.  Of an embedding trained with a metric loss the distance
    to the nearest centre tells more.

    An image's class is that of the largest decision value.  The unit of single features does not
    matter.

    Args:
        cost: C of the support vector machines, above 0.
        weight: of the empirical risk, at least 0.
        reads: which of the network's outputs.

    Raises:
        ValueError: a cost or weight out of its range.
    """

    choices = ("embedding", "features")
    scale_free = True
    weights: Tensor
    """(C, R) the decision value of each class is ``weights @ vector + bias``."""
    bias: Tensor
    length: Tensor
    """(C,) decision values divided by it are distances."""
    near: Tensor
    far: Tensor

    def __init__(self, cost: float = 1.0, weight: float = 1.0, reads: Field = "embedding") -> None:
        super().__init__({"cost": cost, "weight": weight}, reads)
        if not cost > 0 or not weight >= 0:
            raise ValueError(
                f"the 1-vs-set machine was given the cost {cost} and weight {weight}; expected "
                "above 0 and at least 0"
            )
        self.register_buffer("weights", torch.empty(0, 0, dtype=torch.float64))
        for name in ("bias", "length", "near", "far"):
            self.register_buffer(name, torch.empty(0, dtype=torch.float64))

    def fit(self, vectors: Tensor, labels: Tensor) -> Self:
        """Keep the plane (C, R) of every class and where its slab begins and ends (C,).

        Args:
            vectors: (N, R) of training images.
            labels: (N,) in 0..C-1.

        Raises:
            UserError: one class only, or a class without an image.
        """
        if len(count_classes(labels)) < 2:
            raise UserError(
                f"{len(labels)} images of one class came; the 1-vs-set machine expected at least "
                "two classes to tell apart: take nearest_centre"
            )
        mean = vectors.double().mean(dim=0)
        inverse = inverse_deviations(vectors, vectors.double() - mean)
        weights, bias = self._planes((vectors.double() - mean) * inverse, labels)
        self.weights, self.length = weights * inverse, weights.norm(dim=1)
        self.bias = bias - self.weights @ mean
        signed = self._signed(vectors)
        slabs = [
            slab(signed[labels == label, label], signed[labels != label, label], self.weight)
            for label in range(len(weights))
        ]
        self.near, self.far = torch.stack(slabs).unbind(dim=1)
        self.far = self.far + 1 / self.length
        return self

    @property
    def weight(self) -> float:
        """Of the empirical risk."""
        weight: float = self.settings["weight"]
        return weight

    def depths(self, vectors: Tensor) -> Tensor:
        """How deep in the slab of each class, below 0 outside of it.

        Args:
            vectors: (N, R).

        Returns:
            (N, C) float64.
        """
        signed = self._signed(vectors)
        return torch.minimum(signed - self.near, self.far - signed)

    def score(self, vectors: Tensor) -> Tensor:
        """Minus the largest depth.

        Args:
            vectors: (N, R).

        Returns:
            (N,) float64 scores, higher = more out-of-distribution.
        """
        return -self.depths(vectors).amax(dim=1)

    def classify(self, vectors: Tensor) -> Tensor:
        """The class of the largest decision value.

        Args:
            vectors: (N, R).

        Returns:
            (N,) int64, in 0..C-1.
        """
        return (vectors.double() @ self.weights.T + self.bias).argmax(dim=1)

    def _signed(self, vectors: Tensor) -> Tensor:
        return (vectors.double() @ self.weights.T + self.bias) / self.length

    def _planes(self, standardised: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Weights (C, R) and bias (C,) of the support vector machines."""
        from sklearn.svm import LinearSVC

        machine = LinearSVC(
            C=self.settings["cost"], class_weight="balanced", dual=False, max_iter=10_000
        )
        vectors, classes = standardised.cpu().numpy(), labels.cpu().numpy()
        planes = []
        for label in range(int(labels.max()) + 1):
            machine.fit(vectors, classes == label)
            planes.append(torch.from_numpy(np.append(machine.coef_[0], machine.intercept_)))
        stacked = torch.stack(planes).to(standardised)
        return stacked[:, :-1], stacked[:, -1]


def slab(own: Tensor, others: Tensor, weight: float) -> Tensor:
    """(2,) float64: where the slab with the least risk begins and ends.

    Args:
        own: (P,) signed distances of the images of the class.
        others: (M,) those of all others.
        weight: of the empirical risk.
    """
    own, others = own.sort().values, others.sort().values
    delta = own[-1] - own[0]
    if delta == 0:
        return torch.stack([own[0], own[0]])
    chosen = torch.linspace(0, len(own) - 1, min(POSITIONS, len(own)), device=own.device)
    tried = own[chosen.round().long()]
    near, far = tried[:, None], tried[None]
    kept = far > near
    width = torch.where(kept, far - near, delta)
    missed = 1 - _between(own, tried) / len(own)
    accepted = _between(others, tried) / len(others)
    risk = width / delta + delta / width + weight * (missed + accepted)
    best = int(torch.where(kept, risk, float("inf")).argmin())
    return torch.stack([tried[best // len(tried)], tried[best % len(tried)]])


def _between(values: Tensor, tried: Tensor) -> Tensor:
    """(T, T) how many of the sorted values lie between the i-th and the j-th tried place."""
    above = torch.searchsorted(values, tried.contiguous(), right=True)
    below = torch.searchsorted(values, tried.contiguous())
    return (above[None] - below[:, None]).clamp(min=0).double()
