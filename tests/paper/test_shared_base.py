"""Rows that go on from one trained base: the same weights, trained once, and said in each row."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from knowbound.backbones import WideResNet
from knowbound.data.source import Source
from knowbound.data.split import OutSet, Split
from knowbound.detectors import NearestCentre
from knowbound.experiment import Experiment, run
from knowbound.labels import OUT, Kind
from knowbound.objectives import Contrastive
from knowbound.objectives.batches import BalancedBatches
from knowbound.paper.shared_base import start_from_base
from knowbound.training.loop import Progress, train
from knowbound.training.settings import Training

DIM = 4
BASE = Training(steps=3, learning_rate=1e-2, precision="float32", compile=False)
RULE = BalancedBatches(images=6, outs=2, per_class=2)
OBJECTIVE = Contrastive(dim=DIM, rule=RULE).without_outs()


def source(name: str, labels: np.ndarray, seed: int) -> Source:
    rng = np.random.default_rng(seed)
    names = ("a", "b", "c") if labels.max() >= 0 else ()
    return Source(
        name,
        rng.integers(0, 255, (len(labels), 3, 8, 8)).astype(np.uint8),
        labels.astype(np.int64),
        names,
    )


def network(embedding: int) -> WideResNet:
    return WideResNet(embedding, depth=10, widen=1)


@pytest.fixture(scope="module")
def rows() -> Sequence[Experiment]:
    def outs(seed: int) -> OutSet:
        return OutSet(source("other", np.full(12, OUT), seed), Kind.NOVELTY)

    split = Split(
        train=source("in", np.arange(30) % 3, 0),
        validation=source("in", np.arange(24) % 3, 1),
        test=source("in", np.arange(12) % 3, 2),
        seen_out=(outs(3),),
        unseen_out=(outs(4),),
        name="toy",
    )
    odm = Experiment(
        experiment="toy",
        scale="cpu",
        method="ODM",
        split=split,
        backbone=network,
        backbone_name="WRN-10-1",
        objective=Contrastive(dim=DIM, rule=RULE),
        detector=NearestCentre,
        training=replace(BASE, steps=2),
        note={"why": "a test"},
    )
    return odm, replace(odm, method="ML", split=split.without_seen_out())


def weights(experiment: Experiment) -> Mapping[str, Tensor]:
    return experiment.backbone(embedding=DIM).state_dict()


def assert_same(these: Mapping[str, Tensor], those: Mapping[str, Tensor]) -> None:
    assert these.keys() == those.keys()
    for name, value in these.items():
        assert torch.equal(value, those[name]), name


def test_every_row_starts_from_a_network_trained_on_the_in_images_alone(
    rows: Sequence[Experiment], tmp_path: Path
) -> None:
    torch.manual_seed(BASE.seed)
    expected = network(DIM)
    train(expected, rows[0].split.train, [], OBJECTIVE, BASE)
    started = start_from_base(rows, OBJECTIVE, BASE, tmp_path)
    for row in started:
        assert_same(weights(row), expected.state_dict())
    assert [row.method for row in started] == ["ODM", "ML"]
    assert started[0].split.seen_out  # the base alone goes without


def test_training_one_row_leaves_the_start_of_the_next_as_it_was(
    rows: Sequence[Experiment], tmp_path: Path
) -> None:
    started = start_from_base(rows, OBJECTIVE, BASE, tmp_path)
    before = {name: value.clone() for name, value in weights(started[1]).items()}
    outcome = run(started[0])
    assert_same(weights(started[1]), before)
    settings = outcome.evidence.results[0].run.provenance["settings"]
    assert settings["why"] == "a test"
    assert settings["training"]["steps"] == 2
    base = settings["started_from"]
    assert (
        base["training"]["steps"],
        base["objective"]["rule"]["images"],
        base["objective"]["rule"]["outs"],
    ) == (3, 8, 0)
    assert base["seconds"] > 0


def test_the_kept_base_is_taken_again_and_one_of_other_settings_is_not(
    rows: Sequence[Experiment], tmp_path: Path
) -> None:
    trained: list[int] = []

    def note(experiment: Experiment, progress: Progress) -> None:
        trained.append(progress.step)

    first = weights(start_from_base(rows, OBJECTIVE, BASE, tmp_path, note)[0])
    assert trained == [1, 2, 3]
    assert_same(weights(start_from_base(rows, OBJECTIVE, BASE, tmp_path, note)[0]), first)
    assert trained == [1, 2, 3]
    start_from_base(rows, OBJECTIVE, replace(BASE, steps=1), tmp_path, note)
    assert trained == [1, 2, 3, 1]
    start_from_base(
        rows, replace(OBJECTIVE, same_share=0.5), replace(BASE, steps=2), tmp_path, note
    )
    assert trained == [1, 2, 3, 1, 1, 2]


def test_a_base_that_was_cut_off_goes_on(rows: Sequence[Experiment], tmp_path: Path) -> None:
    base = replace(BASE, steps=6, checkpoint_every=2)
    whole = weights(start_from_base(rows, OBJECTIVE, base, tmp_path / "whole")[0])

    def stop(experiment: Experiment, progress: Progress) -> None:
        assert experiment.method == "base"
        if progress.step == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        start_from_base(rows, OBJECTIVE, base, tmp_path / "cut", stop)
    steps: list[int] = []
    resumed = start_from_base(
        rows, OBJECTIVE, base, tmp_path / "cut", lambda _, p: steps.append(p.step)
    )[0]
    assert steps == [6], "the step that was done is kept"
    for name, value in weights(resumed).items():
        torch.testing.assert_close(value, whole[name])
    assert len(list((tmp_path / "cut").iterdir())) == 1
