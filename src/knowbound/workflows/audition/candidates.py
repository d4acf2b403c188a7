"""The candidates for a folder's network, measured: a frozen one with a head, and one trained from
nothing for a share of its steps."""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, replace

import numpy as np
import torch
from torch import Tensor

from knowbound._version import __version__
from knowbound.backbones import Backbone
from knowbound.boundary.batches import image_batches
from knowbound.building import Base
from knowbound.building.frozen import Embedded, FrozenNetwork
from knowbound.data.source import Source
from knowbound.detectors.choice import make_detector
from knowbound.detectors.detector import Detector
from knowbound.metrics import auroc
from knowbound.training import train
from knowbound.training.loop import Progress
from knowbound.workflows.audition.kept_trials import memory_of, remember, remembered
from knowbound.workflows.audition.stage import Stage
from knowbound.workflows.audition.trial import READ, Head, Trial, frozen_trial

VIEWS, BATCH = 100, 96
"""A trial shows each picture about so many times at most, in batches of so many pictures: more would
tell little of a small set."""


def try_frozen(stage: Stage, frozen: FrozenNetwork, head: Head, embedded: Embedded) -> Trial:
    """How a frozen network does.

    Args:
        stage: the images.
        frozen: the network, with the head's pooling.
        head: that is put on it.
        embedded: what the network said of ``stage.large``.
    """
    detector = make_detector(head.detector, READ)
    start = time.monotonic()
    vectors = detector.read(embedded.outputs)
    learned = torch.from_numpy(stage.is_known & ~stage.judged)
    labels = torch.from_numpy(np.searchsorted(stage.known, stage.large.source.labels))
    detector.learn(vectors[learned], labels[learned], stage.names)
    accuracy, novelty = _judged(stage, detector, vectors)
    seconds = embedded.seconds + time.monotonic() - start
    return frozen_trial(frozen, head, accuracy, novelty, seconds, not embedded.computed)


def try_trained(
    stage: Stage,
    backbone_name: str,
    make: Callable[..., Backbone],
    base: Base,
    detector: Detector,
    share: float,
    on_step: Callable[[Progress], None] | None = None,
) -> Trial:
    """How a network that is trained from nothing does after a share of its usual training.

    What was measured is kept beside the cached features, so the same command does not train again.

    Args:
        stage: the images.
        backbone_name: of the network.
        make: from the heads' sizes, as keyword arguments, to a network with fresh weights.
        base: what it is trained with, on known images alone, with the steps of the whole training.
        detector: a fresh one.
        share: of the steps.
        on_step: called after every step.
    """
    assert base.training is not None
    learned = stage.learned_small
    training = replace(base.training, steps=trial_steps(base.training.steps, share, len(learned)))
    place = memory_of(
        {
            "network": backbone_name,
            "training": asdict(training),
            "objective": base.objective.to_dict(),
            "learned": learned.sha256(),
            "judged": stage.large.sha256,
            "held": stage.judged.tolist(),
            "torch": torch.__version__,
            "version": __version__,
        }
    )
    kept = remembered(place)
    if kept is not None:
        return kept
    start = time.monotonic()
    torch.manual_seed(training.seed)
    network = make(**base.objective.head_sizes(len(learned.class_names)))
    said = (lambda step: on_step(replace(step, stage="audition"))) if on_step else None
    train(network, learned, [], base.objective, training, on_step=said)
    detector.learn(
        _vectors(network, detector, learned),
        torch.from_numpy(learned.labels),
        learned.class_names,
    )
    shown = stage.small.source.take(stage.shared)
    accuracy, novelty = _judged(stage, detector, _vectors(network, detector, shown))
    trial = Trial(
        backbone_name,
        learned.image_shape[1],
        f"{training.steps} steps from nothing",
        accuracy,
        novelty,
        time.monotonic() - start,
        training.steps / base.training.steps,
    )
    remember(place, trial)
    return trial


def trial_steps(steps: int, share: float, pictures: int) -> int:
    """Steps of a trial: a share of all, but no more than show each picture about ``VIEWS`` times.

    Args:
        steps: of the whole training.
        share: above 0, at most 1.
        pictures: that are learned.
    """
    return max(1, min(round(share * steps), math.ceil(VIEWS * pictures / BATCH)))


@torch.no_grad()
def _vectors(network: Backbone, detector: Detector, source: Source) -> Tensor:
    parts = [
        detector.read(network(images, stages=True).float()).cpu()
        for images in image_batches(network, source)
    ]
    return torch.cat(parts)


def _judged(stage: Stage, detector: Detector, vectors: Tensor) -> tuple[float, float | None]:
    """Accuracy and novelty AUROC on the judged images; vectors: (L, R) of all of ``large``."""
    known = stage.is_known & stage.judged
    labels = np.searchsorted(stage.known, stage.large.source.labels)
    said = detector.classify(vectors[torch.from_numpy(known)]).numpy()
    accuracy = float(np.mean(said == labels[known]))
    new = ~stage.is_known
    if not new.any():
        return accuracy, None
    scores = detector.score(vectors).double().numpy()
    return accuracy, float(auroc(scores[known], scores[new]))
