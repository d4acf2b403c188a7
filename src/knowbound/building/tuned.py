"""A network with published weights, fine-tuned on the known images: its last layers, or all."""

import copy
import time
from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from knowbound.backbones import Backbone
from knowbound.backbones.backbone import Halves
from knowbound.building.handedness import without_handedness
from knowbound.building.parts import OnStep
from knowbound.building.tuning import Tuning
from knowbound.building.tuning_views import BATCH, images_at, views_of
from knowbound.data.source import Source
from knowbound.detectors.detector import Detector, class_means
from knowbound.objectives.batches import BalancedBatches
from knowbound.training.loop import Progress, check_classes
from knowbound.values import JsonObject

HEAD_RATE = 10
"""The learning rate of the class layer over that of the network."""
BETAS = (0.9, 0.99)
"""Of Adam: its averages follow within the few steps there are."""
STAGE = "fine-tuning"
"""What the progress of it is called."""


@dataclass(frozen=True, eq=False)
class Tuned:
    """A fine-tuned network and what its training was.

    network: a copy with other weights; seconds: that it took; images: that went through its tuned
    part; loss: of the last step; mirrored: the classes whose images were mirrored; left_out: (N,)
    scores and classes of images that were left out in turn, if they were; remembered: whether it
    was trained before, by the same command.
    """

    network: Backbone
    tuning: Tuning
    seconds: float
    images: int
    loss: float
    mirrored: tuple[str, ...]
    left_out: tuple[Tensor, Tensor] | None = None
    remembered: bool = False

    def to_dict(self) -> JsonObject:
        """Settings and outcome as JSON values."""
        return {
            "tuning": asdict(self.tuning),
            "seconds": round(self.seconds, 2),
            "images": self.images,
            "loss": self.loss,
            "mirrored": list(self.mirrored),
        }


class Tuner:
    """What is fine-tuned on some images, or on others: what the part of a network that stays as it
    is says of their views is computed once.

    Args:
        network: with published weights and without heads; it stays as it is.
        source: N images with labels 0..C-1.
        features: (N, F) that the network has of them.
        tuning: how.

    Raises:
        UserError: classes that cannot be trained on.
        ValueError: a network that cannot be fine-tuned so.
    """

    def __init__(self, network: Backbone, source: Source, features: Tensor, tuning: Tuning) -> None:
        check_classes(source)
        self.network, self.source, self.features, self.tuning = network, source, features, tuning
        self.labels = torch.from_numpy(source.labels)
        mirror_images = _of_mirror_images(network, source)
        self.mirrored = without_handedness(features, mirror_images, self.labels)
        self.views = views_of(network.halves(tuning.depth), source, self.mirrored, tuning)

    def tune(
        self, positions: NDArray[np.int64] | None = None, on_step: OnStep | None = None
    ) -> Tuned:
        """A copy of the network whose features tell the classes better apart.

        It learns cross-entropy of the products of its unit-length features and one direction for
        each class, which starts at the mean of the class less that of all.  The directions are
        thrown away: a detector is fitted on the features.  The statistics of batch norms stay as
        they are, so that few images do not harm them.

        Args:
            positions: of the images to learn from; None: of all.
            on_step: called after every step.
        """
        start, tuning = time.monotonic(), self.tuning
        chosen = np.arange(len(self.source)) if positions is None else positions
        labels = self.labels[chosen]
        tuned = copy.deepcopy(self.network).eval().requires_grad_(False)
        halves = tuned.halves(tuning.depth)
        classes = _ClassLayer(self.features[chosen], labels, tuning.scale)
        optimizer = _optimizer(halves, classes, tuning)
        rule = BalancedBatches(tuning.images, outs=0, per_class=2)
        batches = rule.plan(labels.numpy(), tuning.seed)
        loss, done = float("nan"), 0
        for step in range(tuning.steps):
            for group in optimizer.param_groups:
                group["lr"] = tuning.rate_at(step) * group["share"]
            some = batches[step]
            said = classes(halves.after(self.views(chosen[some], step)))
            value = cross_entropy(said, labels[some])
            optimizer.zero_grad(set_to_none=True)
            value.backward()
            optimizer.step()
            loss, done = value.item(), done + len(some)
            if on_step is not None:
                speed = done / max(1e-9, time.monotonic() - start)
                on_step(Progress(step + 1, tuning.steps, loss, speed, STAGE))
        tuned.requires_grad_(False)
        every = zip(self.source.class_names, self.mirrored.tolist(), strict=True)
        names = tuple(name for name, may in every if may)
        return Tuned(tuned, tuning, time.monotonic() - start, done, loss, names)

    @torch.no_grad()
    def left_out(self, detector: Detector, parts: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """What is said of images that neither the network nor the detector learned from: each part
        is left out of a tuning in turn.

        Args:
            detector: that reads the features; learned or not; it stays as it is.
            parts: (N,) the part of each image.

        Returns:
            (N,) float64 scores, and (N,) the class that each image is taken for.
        """
        scores = torch.zeros(len(parts), dtype=torch.float64)
        nearest = torch.zeros_like(self.labels)
        for part in np.unique(parts):
            out, kept = np.flatnonzero(parts == part), np.flatnonzero(parts != part)
            with torch.enable_grad():
                tuned = self.tune(kept)
            vectors = self._plain(tuned)
            other = type(detector)(**detector.settings).fit(vectors[kept], self.labels[kept])
            scores[out] = other.score(vectors[out]).double()
            nearest[out] = other.classify(vectors[out])
        return scores, nearest

    def _plain(self, tuned: Tuned) -> Tensor:
        """(N, F) features of the images themselves."""
        after = tuned.network.halves(self.tuning.depth).after
        starts = range(0, len(self.source), BATCH)
        some = [np.arange(start, min(start + BATCH, len(self.source))) for start in starts]
        return torch.cat([after(self.views(positions, None)) for positions in some])


def _optimizer(halves: Halves, classes: nn.Module, tuning: Tuning) -> torch.optim.Optimizer:
    weights = [weight for module in halves.tuned for weight in module.parameters()]
    for weight in weights:
        weight.requires_grad_(True)
    own = list(classes.parameters())
    return torch.optim.Adam(
        [{"params": weights, "share": 1.0}, {"params": own, "share": HEAD_RATE}],
        tuning.learning_rate,
        betas=BETAS,
    )


class _ClassLayer(nn.Module):
    """(N, F) features -> (N, C) logits: scaled products of the unit-length features and a direction
    for each class, which starts at its mean less that of all, and a bias."""

    def __init__(self, features: Tensor, labels: Tensor, scale: float) -> None:
        super().__init__()
        means = normalize(class_means(normalize(features, dim=1), labels), dim=1)
        self.directions = nn.Parameter((means - means.mean(dim=0)).float())
        self.bias = nn.Parameter(torch.zeros(len(means)))
        self.scale = scale

    def forward(self, features: Tensor) -> Tensor:
        """Scaled products."""
        products: Tensor = normalize(features, dim=1) @ self.directions.T
        return self.scale * products + self.bias


@torch.inference_mode()
def _of_mirror_images(network: Backbone, source: Source) -> Tensor:
    """(N, F) features."""
    parts = []
    for start in range(0, len(source), BATCH):
        images = images_at(source, np.arange(start, min(start + BATCH, len(source))))
        parts.append(network.activations(images.flip(3))[1])
    return torch.cat(parts).clone()
