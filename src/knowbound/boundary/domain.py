"""How unlike the kind of picture that was taught an image is, whatever its class: tells novelty
from anomaly.

The paper leaves the kind of an unknown image to whoever declares the data set (Section 3.3).  This
is our addition.  A linear classifier on the pooled activations of every block sets the known
images apart from synthetic anomalies: noise and pieces of photographs.  Its threshold comes from
leaving classes out, so it says how far a class that nobody taught usually lies.
"""

import math
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

PENALTY = 1.0
"""Of scikit-learn's LogisticRegression: 1 / C, on standardised inputs."""
LEAST_SPREAD = 1e-6
"""Activations that vary less, relative to the largest, say nothing."""
LEAST_IMAGES = 20
"""Of a class whose own quantile counts: one in twenty may fall outside."""
FOLDS = 10
"""At most so many fits with classes left out."""
STEPS = 300


class Domain(nn.Module):
    """The domain score, log-odds that an image is an anomaly: a linear function of the stages.

    weight: (S,) and bias: () of the pooled activations as the network gives them; threshold: (),
    an image at or under it is of the kind that was taught.  Set by ``fit``; before it the score is
    empty and the threshold not a number.
    """

    name = "stages"
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
        acceptance: float = 0.95,
    ) -> Self:
        """Learn the score and its threshold.

        Whole classes are left out of the fit in turn, in at most ten groups; ``acceptance`` of the
        images of each class so left out score at most ``threshold``: the worst class decides.
        Classes of fewer than 20 images count together with the other small ones of their group.

        Args:
            inside: (N, S) stages of known images.
            labels: (N,) in 0..C-1.
            near: (M, S) stages of what is no known class but of the same kind of picture: the
                synthetic outliers that the network was trained against, and declared novelties.
            far: (K, S) stages of anomalies, synthetic and declared.
            near_labels: (M,) the class from which each was made, left out together with it; below
                0 or None: of none.
            acceptance: share, above 0 and below 1.

        Raises:
            ValueError: tensors that do not fit together.
        """
        inside, far = inside.double(), far.double()
        near = inside[:0] if near is None else near.double()
        if near_labels is None:
            near_labels = labels.new_full((len(near),), -1)
        _check(inside, labels, near, far, near_labels)
        if not len(far) or len(inside) < 2:
            return self._give_up(inside, far)
        self.weight, self.bias = fit_logistic(torch.cat([inside, near]), far)
        parts, near_parts, self.remark = _parts(labels, near_labels)
        needed = []
        for part in parts.unique():
            out = parts == part
            rest = torch.cat([inside[~out], near[near_parts != part]])
            weight, bias = fit_logistic(rest, far)
            needed += _needed(inside[out] @ weight + bias, labels[out], acceptance)
        self.threshold = torch.stack(needed).max()
        return self

    def score(self, stages: Tensor) -> Tensor:
        """How unlike the kind of picture that was taught each image is.

        Args:
            stages: (N, S).

        Returns:
            (N,) float64, higher = less like it.
        """
        return stages.double() @ self.weight + self.bias

    def _give_up(self, inside: Tensor, far: Tensor) -> Self:
        """A score of 0 for every image, which is a novelty if it is unknown."""
        self.weight, self.bias = inside.new_zeros(inside.shape[1]), inside.new_zeros(())
        self.threshold = inside.new_full((), math.inf)
        self.remark = (
            f"{len(inside)} known images and {len(far)} anomalies are too few to tell an anomaly "
            "from a novelty, so every unknown image is called a novelty"
        )
        return self


def fit_logistic(inside: Tensor, far: Tensor) -> tuple[Tensor, Tensor]:
    """Weights (S,) and bias () of the log-odds that an image belongs to ``far``.

    Logistic regression with the penalty of scikit-learn's default, on inputs of mean 0 and spread
    1; both sides weigh the same, whatever their number.

    Args:
        inside: (N, S) float64.
        far: (K, S) float64.
    """
    inputs = torch.cat([inside, far])
    mean, spread = inputs.mean(dim=0), inputs.std(dim=0, correction=0)
    told = spread > LEAST_SPREAD * inputs.abs().amax(dim=0)
    scale = torch.where(told, spread, 1.0)
    inputs = torch.where(told, (inputs - mean) / scale, 0.0)
    side = torch.cat([-inside.new_ones(len(inside)), far.new_ones(len(far))])
    share = torch.where(side > 0, 0.5 / len(far), 0.5 / len(inside)) * len(side)
    weight = _minimise(inputs, side, share)
    slope = weight[:-1] / scale
    return slope, weight[-1] - slope @ mean


def _minimise(inputs: Tensor, side: Tensor, share: Tensor) -> Tensor:
    """(S + 1) weights, the bias last, of the smallest weighted logistic loss plus penalty."""
    weight = inputs.new_zeros(inputs.shape[1] + 1, requires_grad=True)
    search = torch.optim.LBFGS(
        [weight],
        max_iter=STEPS,
        history_size=20,
        tolerance_grad=1e-4,
        tolerance_change=1e-9,
        line_search_fn="strong_wolfe",
    )

    def loss() -> Tensor:
        search.zero_grad()
        margin = side * (inputs @ weight[:-1] + weight[-1])
        value = (share * softplus(-margin)).sum() + 0.5 * PENALTY * weight[:-1].square().sum()
        value.backward()
        return value

    with torch.enable_grad():
        search.step(loss)
    return weight.detach()


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
    return [
        values.sort().values[math.ceil(acceptance * len(values) - 1e-9) - 1]
        for values in sets
        if len(values)
    ]


def _check(inside: Tensor, labels: Tensor, near: Tensor, far: Tensor, near_labels: Tensor) -> None:
    widths = {tuple(stages.shape[1:]) for stages in (inside, near, far)}
    if inside.ndim != 2 or len(widths) > 1:
        raise ValueError(
            f"stages of the shapes {tuple(inside.shape)}, {tuple(near.shape)} and "
            f"{tuple(far.shape)} were given; expected (N, S), (M, S) and (K, S)"
        )
    for name, stages, own in (("known", inside, labels), ("near", near, near_labels)):
        if own.shape != (len(stages),):
            raise ValueError(
                f"{len(stages)} {name} images came with labels of the shape {tuple(own.shape)}; "
                f"expected ({len(stages)},), one for each"
            )
