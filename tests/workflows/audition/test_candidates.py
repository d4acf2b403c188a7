"""A frozen network and one that is trained, measured on the images of an audition."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from knowbound.backbones import LeNet
from knowbound.building import Base
from knowbound.detectors import NearestCentre
from knowbound.metrics import auroc
from knowbound.objectives import Contrastive
from knowbound.training import Training
from knowbound.workflows.audition.candidates import trial_steps, try_frozen, try_trained
from knowbound.workflows.audition.trial import Head, Trial
from tests.workflows.photographs import lenet, staged

pytestmark = pytest.mark.usefixtures("shared_cache")


def test_a_frozen_network_is_measured_on_held_out_images_and_left_out_classes(
    photographs: Path, tmp_path: Path
) -> None:
    stage, frozen = staged(photographs), lenet(tmp_path)
    embedded = frozen.embed(stage.large.source)
    trial = try_frozen(stage, frozen, Head(None, "nearest_centre"), embedded)
    vectors = frozen.embed(stage.large.source).outputs.get("features").numpy()
    labels = stage.large.source.labels
    learned = [np.flatnonzero((labels == c) & ~stage.judged) for c in stage.known]
    means = np.stack([vectors[own].mean(axis=0) for own in learned])
    distances = np.linalg.norm(vectors[:, None] - means, axis=2)
    known = stage.judged & np.isin(labels, stage.known)
    right = stage.known[distances.argmin(axis=1)] == labels
    nearest = distances.min(axis=1)
    assert trial.accuracy == pytest.approx(right[known].mean())
    new = ~np.isin(labels, stage.known)
    assert trial.novelty_auroc == pytest.approx(float(auroc(nearest[known], nearest[new])))
    assert not trial.remembered
    again = frozen.embed(stage.large.source)
    assert try_frozen(stage, frozen, Head(None, "nearest_centre"), again).remembered


def test_a_training_is_tried_once(photographs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage, steps = staged(photographs), []
    base = Base(Contrastive(dim=4), Training(steps=10, precision="float32"))

    def make(**heads: int) -> LeNet:
        return LeNet(channels=3, height=20, width=20, **heads)

    def tried() -> Trial:
        return try_trained(
            stage, "lenet", make, base, NearestCentre(), 0.3, lambda step: steps.append(step.step)
        )

    first = tried()
    assert (steps, first.how, first.trained) == ([1, 2, 3], "3 steps from nothing", 0.3)
    assert 0 <= first.accuracy <= 1
    assert first.novelty_auroc is not None
    assert tried() == replace(first, remembered=True)
    assert steps == [1, 2, 3]


def test_a_trial_is_a_share_of_the_steps_and_no_more_than_its_pictures_bear() -> None:
    assert trial_steps(2100, 0.2, 4000) == 420
    assert trial_steps(2100, 0.2, 96) == 100
    assert trial_steps(2, 0.1, 50) == 1
