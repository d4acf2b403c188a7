"""How unlike the kind of picture that was taught an image is, whatever its class: tells novelty
from anomaly.

The paper leaves the kind of an unknown image to whoever declares the data set (Section 3.3).  This
is our addition.  A linear classifier on powers of the pooled activations of every block sets the
known images apart from synthetic anomalies: noise and pieces of photographs.  Its threshold comes
from leaving classes out, so it says how far a class that nobody taught usually lies.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor, nn
from torch.nn.functional import softplus

from knowbound.boundary.likeness import smallest_accepting
from knowbound.errors import UserError

POWER = 0.7
"""Of an activation's size; chosen, as ``PENALTY`` is, in docs/synthetic_outliers.md."""
PENALTY = 10.0
"""Of scikit-learn's LogisticRegression: 1 / C, on standardised inputs; ten times its default."""
LEAST_SPREAD = 1e-6
"""Activations that vary less, relative to the largest, say nothing."""
MOST_KNOWN = 12_000
"""Known images that it learns from: more cost time and move a few hundred weights by little."""
LEAST_IMAGES = 20
"""Of a class whose own quantile counts: one in twenty may fall outside."""
KEPT = 0.95
"""Of each class that was left out, the share that stays on the side of the known images."""
LOST = 0.1
"""Of the anomalies, the share that may lie on that side too."""
FOLDS = 10
"""At most so many fits with classes left out."""
ROUNDS, STEPS = 10, 20
"""Of the search for the smallest loss, at most."""
TOLERANCE = 1e-5
"""Largest slope of the loss, per standard step, at its end."""
ROUNDING = 1e-9
"""Of a share times a number of images."""
LEAST_CURVATURE = 1e-9
"""Of the bias, which nothing penalises."""


class Domain(nn.Module):
    """The domain score, log-odds that an image is an anomaly: a linear function of powers of the
    stages.

    Of an activation x it reads sign(x) abs(x) ** power, so that large activations say less; the
    unit of a channel does not matter.  weight: (S,) and bias: () of these; threshold: (), an image
    at or under it is of the kind that was taught.  Set by ``fit``; before it the score is empty and
    the threshold not a number.
    """

    power = POWER
    name = f"stages ** {POWER}"
    reads_images = False
    weight: Tensor
    bias: Tensor
    threshold: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weight", torch.empty(0, dtype=torch.float64))
        self.register_buffer("bias", torch.zeros((), dtype=torch.float64))
        self.register_buffer("threshold", torch.tensor(float("nan"), dtype=torch.float64))
        self.remark = ""
        """What could not be done in the last ``fit``, one sentence; empty where all could."""

    def fit(
        self,
        inside: Tensor,
        labels: Tensor,
        near: Tensor | None,
        far: Tensor,
        *,
        near_labels: Tensor | None = None,
        acceptance: float = KEPT,
    ) -> Self:
        """Learn the score and its threshold.

        Whole classes are left out of the fit in turn, in at most ten groups; ``acceptance`` of the
        images of each class so left out score at most ``threshold``: the worst class decides.
        Classes of fewer than 20 images count together with the other small ones of their group.
        Of more than 12,000 known images as many of each class are taken, and small classes whole.
        Where the classes look so unlike each other that this would call more than a tenth of the
        anomalies novelties, the anomalies decide.  The threshold is at least 0: what the score
        takes for the kind that was taught is no anomaly.

        Args:
            inside: (N, S) stages of known images.
            labels: (N,) in 0..C-1.
            near: (M, S) stages of what is no known class but of the same kind of picture: the
                synthetic outliers that the network was trained against, and declared novelties.
            far: (K, S) stages of anomalies, synthetic and declared.
            near_labels: (M,) the class from which each was made, left out together with it; below
                0 or None: of none.  ``fit`` gives none, as most of what it makes is of two classes.
            acceptance: share, above 0 and below 1.

        Raises:
            ValueError: tensors that do not fit together.
            UserError: activations that are no finite numbers.
        """
        near = inside[:0] if near is None else near
        if near_labels is None:
            near_labels = labels.new_full((len(near),), -1)
        _check(inside, labels, near, far, near_labels)
        if not len(far) or len(inside) < 2:
            self.remark = (
                f"{len(inside)} known images and {len(far)} anomalies are too few to tell an "
                "anomaly from a novelty, so every unknown image is called a novelty"
            )
            return self.leave_out(inside.shape[1])
        inside, near, far = map(self.read, (inside, near, far))
        taken = spread(labels, MOST_KNOWN)
        inside, labels = inside[taken], labels[taken]
        whole = fit_logistic(torch.cat([inside, near]), far)
        self.weight, self.bias = whole.weight, whole.bias
        parts, near_parts, self.remark = _parts(labels, near_labels)
        needed = []
        for part in parts.unique():
            out = parts == part
            rest = torch.cat([inside[~out], near[near_parts != part]])
            needed += _needed(fit_logistic(rest, far, whole)(inside[out]), labels[out], acceptance)
        first_lost = whole(far).sort().values[int(LOST * len(far) + ROUNDING)]
        kept = torch.nextafter(first_lost, first_lost.new_tensor(-math.inf))  # and fewer than it
        self.threshold = torch.minimum(torch.stack(needed).max(), kept).clamp(min=0)
        return self

    def score(self, stages: Tensor) -> Tensor:
        """How unlike the kind of picture that was taught each image is.

        Args:
            stages: (N, S).

        Returns:
            (N,) float64, higher = less like it.
        """
        odds = self.read(stages) @ self.weight + self.bias
        return torch.where(self.threshold.isinf(), 0.0, odds)  # left out: whatever the stages are

    def read(self, stages: Tensor) -> Tensor:
        """What the score is linear in.

        Args:
            stages: (N, S).

        Returns:
            (N, S) float64.
        """
        stages = stages.double()
        return stages.sign() * stages.abs() ** self.power

    def leave_out(self, width: int) -> Self:
        """A score of 0 for every image, so that it is a novelty if it is unknown.

        Args:
            width: S, of the stages.
        """
        self.weight, self.bias = self.weight.new_zeros(width), self.bias.new_zeros(())
        self.threshold = self.threshold.new_full((), math.inf)
        return self


class PlainDomain(Domain):
    """The domain score of models that were saved before: linear in the stages themselves."""

    power = 1.0
    name = "stages"


@dataclass(frozen=True, eq=False)
class Logistic:
    """A fitted logistic regression, on the values as they are given.

    weight: (S,) float64; bias: (); factor: (S + 1, S + 1) lower Cholesky factor of the loss's
    second derivatives on standardised values, the bias last.
    """

    weight: Tensor
    bias: Tensor
    factor: Tensor

    def __call__(self, stages: Tensor) -> Tensor:
        """Log-odds (N,) that each image belongs to ``far``."""
        return stages @ self.weight + self.bias


def fit_logistic(inside: Tensor, far: Tensor, near: Logistic | None = None) -> Logistic:
    """Log-odds that an image belongs to ``far``.

    Logistic regression with a quadratic penalty (``PENALTY``), on inputs of mean 0 and spread 1;
    both sides weigh the same, whatever their number.

    Args:
        inside: (N, S) float64.
        far: (K, S) float64.
        near: the answer to nearly the same question, to start from: the same answer, sooner.
    """
    inputs = torch.cat([inside, far])
    mean, spread = inputs.mean(dim=0), inputs.std(dim=0, correction=0)
    told = spread > LEAST_SPREAD * inputs.abs().amax(dim=0)
    scale = torch.where(told, spread, 1.0)
    inputs = torch.where(told, (inputs - mean) / scale, 0.0)
    inputs = torch.cat([inputs, inputs.new_ones(len(inputs), 1)], dim=1)
    side = torch.cat([-inside.new_ones(len(inside)), far.new_ones(len(far))])
    share = torch.where(side > 0, 0.5 / len(far), 0.5 / len(inside)) * len(side)
    weight, factor = inputs.new_zeros(inputs.shape[1]), None
    if near is not None:
        weight = torch.cat([near.weight * scale, (near.bias + near.weight @ mean)[None]])
        factor = near.factor
    weight, factor = _minimise(inputs, side, share, weight, factor)
    slope = weight[:-1] / scale
    return Logistic(slope, weight[-1] - slope @ mean, factor)


def spread(labels: Tensor, most: int) -> Tensor:
    """Positions of at most ``most`` images, (N',), in their own order.

    Each class keeps as many as the others, or all it has; they are spread evenly over the class.

    Args:
        labels: (N,) the class of each image.
        most: images, at least one for each class.
    """
    if len(labels) <= most:
        return torch.arange(len(labels), device=labels.device)
    counts = labels.unique(return_counts=True)[1]
    low, high = 1, most  # the largest share that all classes together have room for
    while low < high:
        share = (low + high + 1) // 2
        low, high = (share, high) if counts.clamp(max=share).sum() <= most else (low, share - 1)
    chosen = []
    for label in labels.unique():
        own = (labels == label).nonzero()[:, 0]
        kept = min(len(own), low)
        chosen.append(own[torch.arange(kept, device=own.device) * len(own) // kept])
    return torch.cat(chosen).sort().values


def _minimise(
    inputs: Tensor, side: Tensor, share: Tensor, weight: Tensor, factor: Tensor | None
) -> tuple[Tensor, Tensor]:
    """(S + 1,) weights, the bias last, of the smallest weighted logistic loss plus penalty.

    L-BFGS in coordinates in which the second derivatives at the last round's end are the unit
    matrix, so that correlated inputs cost few steps.
    """
    penalty = torch.cat([weight.new_full((len(weight) - 1,), PENALTY), weight.new_zeros(1)])

    def loss(weight: Tensor) -> Tensor:
        margin = side * (inputs @ weight)
        return (share * softplus(-margin)).sum() + 0.5 * (penalty * weight.square()).sum()

    for _ in range(ROUNDS):
        if factor is None:
            factor = _factor(inputs, share, penalty, weight)
        weight, done = _descend(loss, weight, factor)
        if done:
            break
        factor = None
    return weight, factor if factor is not None else _factor(inputs, share, penalty, weight)


def _factor(inputs: Tensor, share: Tensor, penalty: Tensor, weight: Tensor) -> Tensor:
    """Lower Cholesky factor of the loss's second derivatives at ``weight``."""
    odds = torch.sigmoid(inputs @ weight)
    curvature = inputs.T @ (inputs * (share * odds * (1 - odds))[:, None])
    curvature.diagonal().add_(penalty)
    curvature[-1, -1] += LEAST_CURVATURE
    factor: Tensor = torch.linalg.cholesky(curvature)
    return factor


def _descend(
    loss: Callable[[Tensor], Tensor], start: Tensor, factor: Tensor
) -> tuple[Tensor, bool]:
    """Weights of less loss, and whether it is the least.

    SciPy's search, as torch's optimizers import torch's compiler, which takes two seconds.
    """

    def weights(moved: Tensor) -> Tensor:
        turned: Tensor = torch.linalg.solve_triangular(factor.T, moved[:, None], upper=True)
        return start + turned[:, 0]

    def value_and_slope(values: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        moved = torch.from_numpy(values).to(start.device).requires_grad_()
        with torch.enable_grad():
            value = loss(weights(moved))
            (slope,) = torch.autograd.grad(value, moved)
        return float(value.detach()), slope.cpu().numpy()

    limits = {"maxiter": STEPS, "maxfun": 2 * STEPS, "maxcor": STEPS}
    found = minimize(
        value_and_slope,
        np.zeros(len(start)),
        jac=True,
        method="L-BFGS-B",
        options={**limits, "gtol": TOLERANCE, "ftol": 0.0},
    )
    done = bool(np.abs(found.jac).max() <= TOLERANCE)
    return weights(torch.from_numpy(found.x).to(start.device)).detach(), done


def _parts(labels: Tensor, near_labels: Tensor) -> tuple[Tensor, Tensor, str]:
    """Which part of the images is left out together, (N,) and (M,) with -1 for never, and a
    remark: whole classes where there are two, else images."""
    classes, positions = labels.unique(return_inverse=True)
    if len(classes) < 2:
        images = torch.arange(len(labels), device=labels.device)
        return (
            images % FOLDS,
            near_labels.new_full((len(near_labels),), -1),
            "there is one class, so the border between novelty and anomaly comes from left-out "
            "images of it, not from left-out classes: too many novelties may be called anomalies",
        )
    near = torch.full_like(near_labels, -1)
    for number, label in enumerate(classes.tolist()):
        near[near_labels == label] = number % FOLDS
    largest = int(positions.bincount().max())
    remark = (
        f"no class has more than {largest} images to learn the kind of picture from, so the border "
        "between novelty and anomaly is rough"
        if largest < LEAST_IMAGES
        else ""
    )
    return positions % FOLDS, near, remark


def _needed(scores: Tensor, labels: Tensor, acceptance: float) -> list[Tensor]:
    """The threshold that each class of a part needs; the small classes together."""
    counts = dict(zip(*(t.tolist() for t in labels.unique(return_counts=True)), strict=True))
    large = [label for label, count in counts.items() if count >= LEAST_IMAGES]
    small = torch.tensor([counts[label] < LEAST_IMAGES for label in labels.tolist()])
    sets = [scores[labels == label] for label in large] + [scores[small.to(scores.device)]]
    return [smallest_accepting(values, acceptance) for values in sets if len(values)]


def _check(inside: Tensor, labels: Tensor, near: Tensor, far: Tensor, near_labels: Tensor) -> None:
    widths = {tuple(stages.shape[1:]) for stages in (inside, near, far)}
    if inside.ndim != 2 or len(widths) > 1:
        raise ValueError(
            f"stages of the shapes {tuple(inside.shape)}, {tuple(near.shape)} and "
            f"{tuple(far.shape)} were given; expected (N, S), (M, S) and (K, S)"
        )
    kinds = ("known images", inside), ("images like them", near), ("anomalies", far)
    for name, stages in kinds:
        broken = int((~stages.isfinite().all(dim=1)).sum())
        if broken:
            raise UserError(
                f"the network's activations for {broken:,} of {len(stages):,} {name} are no finite "
                "numbers, so novelties cannot be told from anomalies: train with a smaller "
                "learning rate, or in float32"
            )
    for name, stages, own in (("known", inside, labels), ("near", near, near_labels)):
        if own.shape != (len(stages),):
            raise ValueError(
                f"{len(stages)} {name} images came with labels of the shape {tuple(own.shape)}; "
                f"expected ({len(stages)},), one for each"
            )
