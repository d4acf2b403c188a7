"""A network with published weights, fine-tuned on the known images: its last blocks, or all of it."""

import copy
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from knowbound.backbones import Backbone
from knowbound.building.handedness import without_handedness
from knowbound.building.tuning import Tuning
from knowbound.building.tuning_views import BATCH, feed_of, images_at
from knowbound.data.source import Source
from knowbound.detectors.detector import class_means
from knowbound.objectives.batches import BalancedBatches
from knowbound.training.loop import Progress, check_classes
from knowbound.values import JsonObject

OnStep = Callable[[Progress], None]
HEAD_RATE = 10
"""The learning rate of the class layer over that of the network."""
STAGE = "fine-tuning"
"""What the progress of it is called."""


@dataclass(frozen=True, eq=False)
class Tuned:
    """A fine-tuned network and what its training was.

    network: a copy with other weights; seconds: that it took; images: that went through its tuned
    part; loss: of the last step; mirrored: the classes whose images were mirrored; remembered:
    whether it was trained before, by the same command.
    """

    network: Backbone
    tuning: Tuning
    seconds: float
    images: int
    loss: float
    mirrored: tuple[str, ...]
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


def tune(
    network: Backbone,
    source: Source,
    features: Tensor,
    tuning: Tuning,
    on_step: OnStep | None = None,
) -> Tuned:
    """A copy of a network whose features tell the classes of some images better apart.

    It learns cross-entropy of the cosines between its features and one direction for each class,
    which starts at the mean of the class.  The directions are thrown away: a detector is fitted on
    the features.  The statistics of batch norms stay as they are, so that few images do not harm
    them.

    Args:
        network: with published weights and without heads; it stays as it is.
        source: N images with labels 0..C-1.
        features: (N, F) that the network has of them.
        tuning: how.
        on_step: called after every step.

    Raises:
        UserError: classes that cannot be trained on.
        ValueError: a network that cannot be fine-tuned so.
    """
    check_classes(source)
    start = time.monotonic()
    tuned = copy.deepcopy(network).eval().requires_grad_(False)
    halves = tuned.halves(tuning.depth)
    labels = torch.from_numpy(source.labels)
    mirrored = without_handedness(features, _of_mirror_images(tuned, source), labels)
    feed = feed_of(halves, source, mirrored, tuning)
    classes = _ClassLayer(features, labels, tuning.scale)
    weights = [weight for module in halves.tuned for weight in module.parameters()]
    for weight in weights:
        weight.requires_grad_(True)
    optimizer = torch.optim.Adam(
        [
            {"params": weights, "share": 1.0},
            {"params": list(classes.parameters()), "share": HEAD_RATE},
        ],
        tuning.learning_rate,
    )
    batches = BalancedBatches(tuning.images, outs=0, per_class=2).plan(source.labels, tuning.seed)
    loss, done = float("nan"), 0
    for step in range(tuning.steps):
        for group in optimizer.param_groups:
            group["lr"] = tuning.rate_at(step) * group["share"]
        chosen = batches[step]
        value = cross_entropy(classes(halves.after(feed(chosen, step))), labels[chosen])
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        optimizer.step()
        loss, done = value.item(), done + len(chosen)
        if on_step is not None:
            speed = done / max(1e-9, time.monotonic() - start)
            on_step(Progress(step + 1, tuning.steps, loss, speed, STAGE))
    tuned.requires_grad_(False)
    names = tuple(name for name, may in zip(source.class_names, mirrored, strict=True) if may)
    return Tuned(tuned, tuning, time.monotonic() - start, done, loss, names)


class _ClassLayer(nn.Module):
    """(N, F) features -> (N, C) logits: scaled cosines to a direction for each class, which starts
    at its mean less that of all."""

    def __init__(self, features: Tensor, labels: Tensor, scale: float) -> None:
        super().__init__()
        means = class_means(normalize(features, dim=1), labels)
        away = normalize(means - means.mean(dim=0), dim=1)
        self.directions = nn.Parameter(away.float())
        self.scale = scale

    def forward(self, features: Tensor) -> Tensor:
        """Scaled cosines."""
        cosines: Tensor = normalize(features, dim=1) @ normalize(self.directions, dim=1).T
        return self.scale * cosines


@torch.inference_mode()
def _of_mirror_images(network: Backbone, source: Source) -> Tensor:
    """(N, F) features."""
    parts = []
    for start in range(0, len(source), BATCH):
        images = images_at(source, np.arange(start, min(start + BATCH, len(source))))
        parts.append(network.activations(images.flip(3))[1])
    return torch.cat(parts).clone()
