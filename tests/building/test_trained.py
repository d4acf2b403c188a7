"""Train, learn, calibrate: what each part is given, in which order, and what is noted of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from knowbound.backbones import Backbone, Ensemble, LeNet
from knowbound.building import Base, Chosen, OnStep, Parts, build, train_base
from knowbound.data.augmentation import Augmentation
from knowbound.data.preprocessing import Preprocessing
from knowbound.data.source import Source
from knowbound.data.split import OutSet
from knowbound.detectors import MaxSoftmax, NearestCentre
from knowbound.errors import UserError
from knowbound.labels import Kind
from knowbound.objectives import Contrastive, CrossEntropy, Objective
from knowbound.objectives.batches import BalancedBatches, RandomBatches
from knowbound.training import Trained, Training, train
from knowbound.training.loop import Progress
from tests.samples import blobs

LEARNED, HELD = blobs(), blobs(seed=1)
OUTS = blobs(per_class=20, first=3, classes=2).without_labels("other blobs")
HASHES = {"known": "abc", "outliers 1": "def"}
TRAINING = Training(
    steps=6, augmentation=Augmentation(shift=1), precision="float32", checkpoint_every=2
)
PARTS = Parts(
    backbone=partial(LeNet, height=16, width=16, hidden=8),
    backbone_name="lenet",
    objective=Contrastive(dim=3, rule=BalancedBatches(images=12, outs=6)),
    detector=lambda *_: Chosen(NearestCentre()),
    training=TRAINING,
    preprocessing=Preprocessing(16, 16, 1),
    acceptance=0.9,
)


def weights(network: torch.nn.Module) -> Tensor:
    return torch.cat([value.flatten() for value in network.state_dict().values()])


def test_it_is_training_learning_and_calibrating_by_hand() -> None:
    built = build(PARTS, LEARNED, HELD, [OUTS], data_sha256=HASHES)
    torch.manual_seed(0)
    network = LeNet(embedding=3, height=16, width=16, hidden=8)
    train(network, LEARNED, [OUTS], PARTS.objective, TRAINING)
    assert torch.equal(weights(built.boundary.backbone), weights(network))
    learned = build(
        replace(PARTS, trainer=copying(network)), LEARNED, HELD, [OUTS], data_sha256=HASHES
    ).boundary
    scores = sorted(learned.judge(HELD).score)
    assert learned.threshold.thresholds.tolist() == pytest.approx(
        [scores[int(np.ceil(0.9 * 121)) - 1]]
    )


@dataclass
class copying:
    """A trainer that copies weights and remembers what it was given."""

    network: Backbone
    given: list[tuple[Any, ...]] = field(default_factory=list)

    def __call__(
        self,
        backbone: Backbone,
        source: Source,
        outs: Sequence[Source],
        objective: Objective,
        training: Training,
        *,
        checkpoint: Path | None = None,
        resume: bool = False,
        identity: dict[str, Any] | None = None,
        on_step: OnStep | None = None,
    ) -> Trained:
        self.given.append((source, tuple(outs), objective, training, identity, resume))
        backbone.load_state_dict(self.network.state_dict())
        return replace(train(backbone, source, outs, objective, replace(training, steps=1)))


def test_the_trainer_gets_images_and_what_a_checkpoint_must_agree_with() -> None:
    trainer = copying(LeNet(embedding=3, height=16, width=16, hidden=8))
    out = OutSet(OUTS, Kind.ANOMALY)
    build(
        replace(PARTS, trainer=trainer),
        LEARNED,
        HELD,
        [out],
        data_sha256=HASHES,
        identity={"held_out": 0.1},
        resume=True,
    )
    ((source, outs, objective, training, identity, resume),) = trainer.given
    assert (source, outs, resume) == (LEARNED, (OUTS,), True)
    assert (objective, training) == (PARTS.objective, TRAINING)
    assert identity == {
        "images": HASHES,
        "network": "lenet",
        "preprocessing": PARTS.preprocessing.to_dict(),
        "base": None,
        "settings": trainer.network.settings,
        "held_out": 0.1,
    }


def test_what_is_noted() -> None:
    parts = replace(PARTS, detector=lambda *_: Chosen(NearestCentre(), note={"chosen": "by hand"}))
    about = build(
        parts, LEARNED, HELD, [OUTS], data_sha256=HASHES, note={"images": 7}
    ).boundary.about
    assert (about["objective"], about["train_images"], about["data_sha256"]) == (
        "odm",
        6 * 18,
        HASHES,
    )
    settings = about["settings"]
    assert (settings["chosen"], settings["images"], settings["acceptance"]) == ("by hand", 7, 0.9)
    assert settings["objective"]["name"] == "contrastive"
    assert settings["pace"]["precision"] == "float32"
    without = build(PARTS, LEARNED, HELD, data_sha256=HASHES).boundary.about
    assert without["objective"] == "ml"


def test_the_detector_is_made_for_the_trained_network() -> None:
    seen: list[bool] = []

    def choose(network: Backbone, learned: Source, choosing: Source | None) -> Chosen:
        assert (learned, choosing) == (LEARNED, OUTS)
        seen.append(network.training)
        with torch.no_grad():
            assert network(torch.zeros(1, 1, 16, 16)).get("logits").shape == (1, 3)
        return Chosen(MaxSoftmax(), tuning="tried")

    parts = replace(PARTS, objective=CrossEntropy(RandomBatches(images=12)), detector=choose)
    built = build(parts, LEARNED, HELD, choosing=OUTS, data_sha256=HASHES)
    assert seen == [False]
    assert built.chosen.tuning == "tried"


def test_declared_outliers_teach_the_domain_score_and_others_do_not() -> None:
    trainer = copying(LeNet(embedding=3, height=16, width=16, hidden=8))
    parts = replace(PARTS, trainer=trainer)
    trainer.network.requires_grad_(False)
    domains = [
        build(parts, LEARNED, HELD, [out], data_sha256=HASHES).boundary.domain.weight
        for out in (OUTS, OutSet(OUTS, Kind.NOVELTY), OutSet(OUTS, Kind.ANOMALY))
    ]
    assert not torch.equal(domains[0], domains[1])
    assert not torch.equal(domains[1], domains[2])


BASE = Base(
    PARTS.objective.without_outs(), replace(TRAINING, steps=4, checkpoint_every=1), synthetic=20
)


def test_the_main_training_starts_from_the_base_and_sees_synthetic_outliers() -> None:
    stages: list[str] = []
    built = build(
        replace(PARTS, base=BASE),
        LEARNED,
        HELD,
        data_sha256=HASHES,
        on_step=lambda progress: stages.append(progress.stage),
    )
    assert stages == ["base"] * 4 + ["training"] * 6
    assert built.invariances is not None
    about = built.boundary.about
    assert about["objective"] == "odm"
    base = about["settings"]["base"]
    assert (base["training"]["steps"], base["images"]) == (4, 4 * 18)
    assert about["train_images"] == 4 * 18 + 6 * 18
    made = about["settings"]["synthetic_outliers"]["images"]
    assert made
    assert about["train_seconds"] >= base["seconds"]


def test_a_kept_base_is_taken_of_the_same_images_and_settings_alone(tmp_path: Path) -> None:
    path = tmp_path / "base.safetensors"
    steps: list[int] = []

    def fit_base(identity: str, training: Training, *, resume: bool = True) -> Tensor:
        torch.manual_seed(0)
        network = LeNet(embedding=3, height=16, width=16, hidden=8)
        train_base(
            network,
            BASE.objective,
            training,
            LEARNED,
            path,
            resume=resume,
            identity={"images": identity},
            on_step=lambda progress: steps.append(progress.step),
        )
        return weights(network)

    assert BASE.training is not None
    first = fit_base("a", BASE.training)
    assert steps == [1, 2, 3, 4]
    assert torch.equal(fit_base("a", BASE.training), first)
    assert steps == [1, 2, 3, 4]
    assert torch.equal(fit_base("a", BASE.training, resume=False), first)
    assert steps == [1, 2, 3, 4] * 2
    fit_base("b", replace(BASE.training, steps=2))
    assert steps[8:] == [1, 2]


def test_too_few_held_out_images_are_said() -> None:
    with pytest.raises(UserError, match="held-out images"):
        build(PARTS, LEARNED, HELD.take(np.arange(5)), data_sha256=HASHES)


def test_progress_names_its_part() -> None:
    assert Progress(1, 2, 0.5, 3.0).stage == "training"


def test_several_networks_are_those_of_the_next_seeds_side_by_side() -> None:
    built = build(replace(PARTS, networks=2), LEARNED, HELD, [OUTS], data_sha256=HASHES)
    ensemble = built.boundary.backbone
    assert isinstance(ensemble, Ensemble)
    for number, member in enumerate(ensemble.members):
        alone = replace(PARTS, training=replace(TRAINING, seed=number))
        trained = build(alone, LEARNED, HELD, [OUTS], data_sha256=HASHES)
        assert torch.equal(weights(member), weights(trained.boundary.backbone))
    about = built.boundary.about
    assert (about["train_images"], about["settings"]["networks"]) == (2 * 6 * 18, 2)
    judged = built.boundary.judge(HELD)
    assert judged.embedding.shape == (len(HELD), 2 * 3)


def test_all_networks_are_shown_the_same_synthetic_outliers() -> None:
    trainer = copying(LeNet(embedding=3, height=16, width=16, hidden=8))
    base = Base(PARTS.objective.without_outs(), TRAINING, synthetic=30)
    parts = replace(PARTS, trainer=trainer, base=base, networks=2)
    built = build(parts, LEARNED, HELD, data_sha256=HASHES)
    (_, first, _, training, *_), (_, second, _, other, *_) = trainer.given
    assert first
    assert all(a is b for a, b in zip(first, second, strict=True))
    assert (training.seed, other.seed) == (0, 1)
    assert built.boundary.about["train_images"] == 2 * (6 * 18 + 18)


class Stopped(Exception):
    """Somebody pulled the plug."""


@pytest.mark.parametrize("stop_at", ["base, network 2 of 3", "network 2 of 3", "network 3 of 3"])
def test_several_networks_continue_where_they_were_stopped(tmp_path: Path, stop_at: str) -> None:
    base = Base(PARTS.objective.without_outs(), replace(TRAINING, steps=4), synthetic=30)
    parts = replace(PARTS, networks=3, base=base)
    stages: list[str] = []

    def stop(progress: Progress) -> None:
        if progress.stage == stop_at and progress.step == 4:
            raise Stopped

    def note(progress: Progress) -> None:
        if progress.stage not in stages:
            stages.append(progress.stage)

    given: dict[str, Any] = {
        "data_sha256": HASHES,
        "checkpoint": tmp_path / "checkpoint.safetensors",
    }
    with pytest.raises(Stopped):
        build(parts, LEARNED, HELD, [OUTS], **given, on_step=stop)
    resumed = build(parts, LEARNED, HELD, [OUTS], **given, resume=True, on_step=note)
    assert stages[0] == stop_at
    assert "network 1 of 3" not in stages
    whole = build(parts, LEARNED, HELD, [OUTS], data_sha256=HASHES)
    assert torch.equal(weights(resumed.boundary.backbone), weights(whole.boundary.backbone))
    assert resumed.boundary.about["train_images"] <= whole.boundary.about["train_images"]


@pytest.mark.parametrize("stop_at", ["base", "network 1 of 2", "network 2 of 2"])
def test_every_commit_whose_code_trained_is_noted(
    tmp_path: Path, stop_at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training that another commit began says so; of one commit there is nothing to add."""
    base = Base(PARTS.objective.without_outs(), TRAINING, synthetic=30)
    parts = replace(PARTS, networks=2, base=base)
    given: dict[str, Any] = {"data_sha256": HASHES, "checkpoint": tmp_path / "c.safetensors"}

    def interrupt(progress: Progress) -> None:
        if progress.stage.startswith(stop_at) and progress.step == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("knowbound.training.loop.commit", lambda: "first")
    with pytest.raises(KeyboardInterrupt):
        build(parts, LEARNED, HELD, **given, on_step=interrupt)
    monkeypatch.setattr("knowbound.training.loop.commit", lambda: "second")
    resumed = build(parts, LEARNED, HELD, **given, resume=True)
    assert resumed.boundary.about["settings"]["trained_by_commits"] == ["first", "second"]
    whole = build(parts, LEARNED, HELD, data_sha256=HASHES)
    assert "trained_by_commits" not in whole.boundary.about["settings"]


def test_no_network_is_none_to_train() -> None:
    with pytest.raises(ValueError, match="0 networks were asked for; expected 1 or more"):
        build(replace(PARTS, networks=0), LEARNED, HELD, data_sha256=HASHES)
