"""One cell of a table: what it is trained, calibrated and judged on, and what its rows say."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from knowbound.backbones import LeNet
from knowbound.boundary import Boundary
from knowbound.data.augmentation import Augmentation
from knowbound.data.outs.noise import gaussian_noise
from knowbound.data.split import OutSet, Split
from knowbound.detectors import MaxSoftmax, NearestCentre
from knowbound.errors import UserError
from knowbound.experiment import Experiment, Outcome, run
from knowbound.labels import Kind
from knowbound.metrics import measure
from knowbound.objectives import Contrastive, CrossEntropy
from knowbound.objectives.batches import BalancedBatches, RandomBatches
from knowbound.training.loop import Progress
from knowbound.training.settings import Training
from tests.samples import blobs

NOVELTY = blobs(per_class=20, first=4, classes=1, seed=4).without_labels("Novelty")
NOISE = gaussian_noise(30, (1, 16, 16), np.random.default_rng(0))
SPLIT = Split(
    "blobs",
    train=blobs(),
    validation=blobs(seed=1),
    test=blobs(per_class=15, seed=2),
    seen_out=(
        OutSet(blobs(per_class=20, first=3, classes=1).without_labels("Other"), Kind.NOVELTY),
    ),
    unseen_out=(OutSet(NOVELTY, Kind.NOVELTY), OutSet(NOISE, Kind.ANOMALY)),
)
ODM = Experiment(
    experiment="toy",
    scale="quick",
    method="ODM",
    split=SPLIT,
    backbone=partial(LeNet, height=16, width=16, hidden=16),
    backbone_name="LeNet",
    objective=Contrastive(dim=3, rule=BalancedBatches(images=12, outs=6)),
    detector=NearestCentre,
    training=Training(
        steps=12, augmentation=Augmentation(shift=1), precision="float32", checkpoint_every=5
    ),
    note={"why": "a test"},
)
CE = replace(
    ODM,
    method="Softmax",
    split=SPLIT.without_seen_out(),
    objective=CrossEntropy(RandomBatches(images=12)),
    detector=MaxSoftmax,
)


class Killed(BaseException):
    """SIGKILL in the loop: nothing in the package may catch it."""


def kill_at(step: int) -> Callable[[Progress], None]:
    def kill(progress: Progress) -> None:
        if progress.step == step:
            raise Killed

    return kill


@pytest.fixture(scope="module")
def outcome() -> Outcome:
    return run(ODM)


def test_rows_are_the_metrics_of_the_boundary_on_every_unseen_set(outcome: Outcome) -> None:
    inside = outcome.boundary.judge(SPLIT.test)
    rows = outcome.evidence.results
    assert [(row.out_dist, row.convention) for row in rows] == [
        (name, convention)
        for convention in ("exact", "seed")
        for name in ("Novelty", "Gaussian noise")
    ]
    for row in rows:
        (out,) = (out for out in SPLIT.unseen_out if out.name == row.out_dist)
        judged = outcome.boundary.judge(out.source)
        expected = measure(inside.score, judged.score, convention=row.convention)
        assert row.numbers.auroc == pytest.approx(expected.auroc, nan_ok=True)
        assert row.numbers.fpr95 == pytest.approx(expected.fpr95, nan_ok=True)
        assert (row.n_in, row.n_out, row.kind) == (45, len(out.source), str(out.kind))
        assert row.in_accuracy == pytest.approx(np.mean(inside.nearest == SPLIT.test.labels))
        assert row.seen == (row.kind == "novelty")  # a novelty was shown, under another name


def test_rows_say_what_was_run(outcome: Outcome) -> None:
    found = outcome.run
    assert (found.experiment, found.method, found.backbone, found.in_dist, found.split) == (
        "toy",
        "ODM",
        "LeNet",
        "blobs",
        "blobs",
    )
    assert (found.detector, found.seen_out, found.train_images) == (
        "NearestCentre",
        ("Other",),
        12 * 18,
    )
    settings = found.provenance["settings"]
    assert settings["why"] == "a test"
    assert settings["training"]["steps"] == 12
    assert settings["objective"]["dim"] == 3
    assert settings["sizes"] == {
        "train": 120,
        "validation": 120,
        "test": 45,
        "seen Other": 20,
        "Novelty": 20,
        "Gaussian noise": 30,
    }
    assert found.provenance["data_sha256"]["test"] == SPLIT.test.sha256()


def test_the_threshold_comes_from_validation_images_alone(outcome: Outcome) -> None:
    scores = np.sort(outcome.boundary.judge(SPLIT.validation).score)
    needed = int(np.ceil(0.95 * (len(scores) + 1))) - 1
    assert outcome.boundary.threshold.thresholds.tolist() == pytest.approx([scores[needed]])


def test_a_cut_off_cell_resumes_to_the_same_rows(outcome: Outcome, tmp_path: Path) -> None:
    checkpoint = tmp_path / "cell.safetensors"
    with pytest.raises(Killed):
        run(ODM, checkpoint=checkpoint, on_step=kill_at(8))
    steps: list[int] = []
    again = run(ODM, checkpoint=checkpoint, on_step=lambda p: steps.append(p.step))
    assert steps[0] == 6
    assert [row.numbers for row in again.evidence.results] == [
        row.numbers for row in outcome.evidence.results
    ]


@pytest.mark.parametrize("role", ["train", "validation", "test", "seen", "unseen"])
def test_a_cut_off_cell_does_not_resume_on_other_images(role: str, tmp_path: Path) -> None:
    """Its row would carry the hash of images that most of the training never saw."""
    checkpoint = tmp_path / "cell.safetensors"
    with pytest.raises(Killed):
        run(ODM, checkpoint=checkpoint, on_step=kill_at(8))
    others = {
        "train": replace(SPLIT, train=blobs(seed=7)),
        "validation": replace(SPLIT, validation=blobs(seed=7)),
        "test": replace(SPLIT, test=blobs(seed=7)),
        "seen": replace(SPLIT, seen_out=SPLIT.unseen_out[:1]),
        "unseen": replace(SPLIT, unseen_out=SPLIT.unseen_out[:1]),
    }
    steps: list[int] = []
    with pytest.raises(UserError, match="belongs to another training.*images"):
        run(
            replace(ODM, split=others[role]),
            checkpoint=checkpoint,
            on_step=lambda p: steps.append(p.step),
        )
    assert not steps


def test_a_kept_model_knows_what_it_was_trained_with(tmp_path: Path) -> None:
    outcome = run(CE)
    outcome.boundary.save(tmp_path)
    about = Boundary.load(tmp_path).about
    assert about["objective"] == "ce"
    assert about["settings"]["training"]["steps"] == 12
    assert about["data_sha256"]["train"] == SPLIT.train.sha256()
    assert about["train_images"] == 12 * 12
    assert outcome.evidence.shows == "logits"
    assert outcome.evidence.centres is None
