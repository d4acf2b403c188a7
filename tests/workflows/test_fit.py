"""From folders to a boundary: what is chosen, what is held out, and what is refused."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from PIL import Image

import knowbound
from knowbound.backbones import LeNet, WideResNet
from knowbound.data.preprocessing import Preprocessing
from knowbound.data.source import Source
from knowbound.detectors import DETECTORS
from knowbound.errors import UserError
from knowbound.objectives import ConfidenceLoss, Contrastive, CrossEntropy, OutlierExposure
from knowbound.workflows.fit import CHECKPOINT, backbone_maker, carry_out, hold_out, plan_fit
from tests.samples import blobs, write_folder

QUICK = {"steps": 12, "size": 16, "precision": "float32"}


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    write_folder(tmp_path / "known", blobs(per_class=30))
    write_folder(tmp_path / "outs", blobs(per_class=20, first=3, classes=2).without_labels())
    return tmp_path / "known", tmp_path / "outs"


def test_choices_follow_the_images(folders: tuple[Path, Path], tmp_path: Path) -> None:
    known, outs = folders
    grey = plan_fit(known)
    assert (grey.backbone_name, grey.objective_name, grey.preprocessing) == (
        "lenet",
        "ml",
        Preprocessing(28, 28, 1),
    )
    assert isinstance(grey.backbone(5), LeNet)
    Image.new("RGB", (20, 20), "red").save(known / "place 0" / "red.png")
    colour = plan_fit(known, [outs])
    assert (colour.backbone_name, colour.objective_name, colour.preprocessing) == (
        "wrn-16-2",
        "odm",
        Preprocessing(32, 32, 3),
    )
    assert (colour.objective.to_dict()["same_share"], colour.backbone.keywords["gain"]) == (
        0.25,
        10.0,
    )  # type: ignore[attr-defined]
    assert isinstance(colour.backbone(5), WideResNet)
    assert plan_fit(known, objective="ce", channels=1, size=16).preprocessing == Preprocessing(
        16, 16, 1
    )
    assert isinstance(plan_fit(known, objective="ce").objective, CrossEntropy)
    assert plan_fit(known, objective=Contrastive(margin=3.0)).objective == Contrastive(margin=3.0)


def test_small_sets_hold_out_enough_to_set_a_threshold(folders: tuple[Path, Path]) -> None:
    plan = plan_fit(folders[0], **QUICK)  # type: ignore[arg-type]
    assert plan.held_out == pytest.approx(20 / 90)
    learned, held = hold_out(plan.known.source, plan.held_out, np.random.default_rng(0))
    assert len(held) == 21
    assert len(learned) + len(held) == 90
    assert np.bincount(held.labels).tolist() == [7, 7, 7]


def test_held_out_images_are_never_trained_on() -> None:
    source = blobs(per_class=10)
    learned, held = hold_out(source, 0.3, np.random.default_rng(0))
    images = {image.tobytes() for image in learned.pixels[:]}
    assert not images & {image.tobytes() for image in held.pixels[:]}
    assert len(images) == 21


def test_fit_returns_a_calibrated_boundary_that_says_how_it_was_made(
    folders: tuple[Path, Path],
) -> None:
    boundary = knowbound.fit(folders[0], [folders[1]], **QUICK)
    assert boundary.class_names == ("place 0", "place 1", "place 2")
    assert np.isfinite(float(boundary.threshold))
    assert boundary.about["objective"] == "odm"
    assert set(boundary.about["data_sha256"]) == {"known", "outliers 1"}
    assert boundary.about["settings"]["training"]["steps"] == 12


def test_a_training_killed_in_between_resumes_to_the_same_model(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    known, outs = folders
    plan = plan_fit(known, [outs], **QUICK)  # type: ignore[arg-type]
    plan = replace(plan, training=replace(plan.training, checkpoint_every=5))
    carry_out(plan, output=tmp_path / "whole")

    class Killed(BaseException):
        pass

    def kill(progress: object) -> None:
        if progress.step == 9:  # type: ignore[attr-defined]
            raise Killed

    with pytest.raises(Killed):
        carry_out(plan, output=tmp_path / "killed", on_step=kill)
    assert (tmp_path / "killed" / CHECKPOINT).exists()
    carry_out(plan, output=tmp_path / "killed", resume=True)
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "killed")]
    assert weights[0] == weights[1]
    assert not (tmp_path / "killed" / CHECKPOINT).exists()


def test_resuming_with_other_images_is_refused(folders: tuple[Path, Path], tmp_path: Path) -> None:
    known, _ = folders
    plan = plan_fit(known, **QUICK)  # type: ignore[arg-type]
    plan = replace(plan, training=replace(plan.training, checkpoint_every=5))

    class Killed(BaseException):
        pass

    def kill(progress: object) -> None:
        if progress.step == 9:  # type: ignore[attr-defined]
            raise Killed

    with pytest.raises(Killed):
        carry_out(plan, output=tmp_path / "model", on_step=kill)
    Image.fromarray(np.zeros((16, 16), np.uint8)).save(known / "place 0" / "new.png")
    changed = plan_fit(known, **QUICK)  # type: ignore[arg-type]
    changed = replace(changed, training=replace(changed.training, checkpoint_every=5))
    with pytest.raises(UserError, match="belongs to another training"):
        carry_out(changed, output=tmp_path / "model", resume=True)


def test_outliers_that_are_also_known_are_refused(folders: tuple[Path, Path]) -> None:
    known, outs = folders
    (outs / "copy.png").write_bytes((known / "place 1" / "31.png").read_bytes())
    with pytest.raises(UserError, match=r"1 images of .* byte for byte .*copy.png"):
        plan_fit(known, [outs], **QUICK)  # type: ignore[arg-type]


def test_the_same_picture_in_two_classes_is_refused(folders: tuple[Path, Path]) -> None:
    known, _ = folders
    (known / "place 0" / "copy.png").write_bytes((known / "place 1" / "31.png").read_bytes())
    with pytest.raises(UserError, match="in two classes"):
        plan_fit(known, **QUICK)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"objective": "odm"}, "odm was asked for without outliers"),
        ({"objective": "triplet"}, "objective 'triplet' is unknown"),
        ({"acceptance": 95}, "between 0 and 1"),
        ({"backbone": "resnet50"}, "backbone 'resnet50' is unknown"),
    ],
)
def test_settings_that_cannot_be_used(
    settings: dict[str, object], words: str, folders: tuple[Path, Path]
) -> None:
    with pytest.raises(UserError, match=words):
        plan_fit(folders[0], **settings)  # type: ignore[arg-type]


def test_outliers_for_an_objective_that_learns_from_none(folders: tuple[Path, Path]) -> None:
    with pytest.raises(UserError, match="objective ml learns from none"):
        plan_fit(folders[0], [folders[1]], objective="ml")


def test_a_class_with_one_image_and_one_class_only(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    known, _ = folders
    (known / "single").mkdir()
    Image.fromarray(np.ones((16, 16), np.uint8)).save(known / "single" / "a.png")
    with pytest.raises(UserError, match=r"too few usable images of single \(1\)"):
        carry_out(plan_fit(known, **QUICK))  # type: ignore[arg-type]
    write_folder(tmp_path / "one", blobs(per_class=30, classes=1))
    with pytest.raises(UserError, match="has 1 class; expected at least two"):
        carry_out(plan_fit(tmp_path / "one", **QUICK))  # type: ignore[arg-type]


def test_an_output_that_cannot_be_written_is_said_before_the_training(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    steps: list[object] = []
    with pytest.raises(UserError, match="cannot be written"):
        carry_out(
            plan_fit(folders[0], **QUICK), output=tmp_path / "file" / "model", on_step=steps.append
        )  # type: ignore[arg-type]
    assert not steps


def test_backbones_by_name() -> None:
    assert backbone_maker("wrn-28-10", Preprocessing(32, 32, 3)).keywords["depth"] == 28  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("objective", "kind"), [("confidence", ConfidenceLoss), ("oe", OutlierExposure)]
)
def test_objectives_that_learn_logits_from_outliers(
    objective: Literal["confidence", "oe"], kind: type, folders: tuple[Path, Path]
) -> None:
    plan = plan_fit(folders[0], [folders[1]], objective=objective)
    assert (type(plan.objective), plan.objective_name, plan.detector) == (
        kind,
        objective,
        "max_softmax",
    )
    assert plan_fit(folders[0], [folders[1]], objective=kind()).objective_name == objective
    with pytest.raises(UserError, match="asked for without outliers"):
        plan_fit(folders[0], objective=objective)


@pytest.mark.parametrize("name", DETECTORS)
def test_every_detector_can_be_chosen_saved_and_loaded(
    name: str, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    boundary = knowbound.fit(folders[0], objective="ce", detector=name, **QUICK)
    assert type(boundary.detector) is DETECTORS[name]
    boundary.save(tmp_path / "model")
    images = blobs(per_class=5, classes=5).images(slice(None))
    expected, loaded = (
        boundary.judge(images),
        knowbound.Boundary.load(tmp_path / "model").judge(images),
    )
    np.testing.assert_allclose(loaded.scores, expected.scores)
    np.testing.assert_array_equal(loaded.decisions, expected.decisions)
    assert np.isfinite(expected.scores).all()


@pytest.mark.parametrize(
    "given",
    [
        {"learning_rate": -1.0},
        {"learning_rate": 0.0},
        {"learning_rate": float("nan")},
        {"margin": 0.0},
        {"margin": float("nan")},
        {"seed": -1},
        {"seed": 2**70},
        {"held_out": 5.0},
        {"held_out": float("nan")},
        {"steps": -5},
        {"dim": 0},
        {"objective": "ce", "dim": 7},
        {"objective": "ce", "margin": 3.0},
    ],
)
def test_numbers_that_cannot_be_are_refused_before_a_picture_is_read(
    given: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="expected|leave them out"):
        plan_fit(tmp_path / "not there", **given)


def test_enough_is_held_out_for_the_threshold_or_it_is_said_before_the_training() -> None:
    names = tuple(str(c) for c in range(8))
    source = Source("eight", np.zeros((96, 1, 16, 16), dtype=np.uint8), np.arange(96) % 8, names)
    # a fifth of each class, rounded, is 16 of the 20 it takes
    learned, held = hold_out(source, 20 / 96, np.random.default_rng(0), least=20)
    assert (len(learned), len(held)) == (76, 20)
    assert np.bincount(held.labels).tolist() == [3] * 4 + [2] * 4
    with pytest.raises(UserError, match="at most 6 can be held out.* acceptance of at most 0.83"):
        hold_out(blobs(per_class=4, classes=3), 0.5, np.random.default_rng(0), least=20)
