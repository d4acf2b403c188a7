"""From folders to a boundary: what is chosen, what is held out, and what is refused."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import knowbound
from knowbound.backbones import LeNet, WideResNet
from knowbound.boundary.together import with_detectors
from knowbound.building import Parts
from knowbound.data.group_hold_out import hold_out_groups
from knowbound.data.preprocessing import Preprocessing
from knowbound.detectors import DETECTORS, MaxSoftmax
from knowbound.errors import UserError
from knowbound.objectives import (
    ConfidenceLoss,
    Contrastive,
    CrossEntropy,
    Objective,
    OutlierExposure,
)
from knowbound.training.loop import Progress
from knowbound.workflows.fit import kept_state, run_plan
from knowbound.workflows.hold_out import NOTED
from knowbound.workflows.plan import Folders, Plan, held_share, plan_fit
from knowbound.workflows.settings import Settings
from tests.samples import blobs, write_folder

QUICK: dict[str, Any] = {"steps": 12, "size": 16, "precision": "float32", "synthetic": False}


def planned(known: Path, outliers: Folders = (), **settings: Any) -> Plan:
    return plan_fit(known, outliers, Settings(**settings))


def often_kept(plan: Plan) -> Plan:
    """The plan with a checkpoint every five steps."""
    training = replace(plan.parts.training, checkpoint_every=5)
    return replace(plan, parts=replace(plan.parts, training=training))


class Killed(BaseException):
    """SIGKILL in the loop: nothing in the package may catch it."""


def kill_at(step: int, stage: str = "training") -> Callable[[Progress], None]:
    def kill(progress: Progress) -> None:
        if (progress.stage, progress.step) == (stage, step):
            raise Killed

    return kill


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    write_folder(tmp_path / "known", blobs(per_class=30))
    write_folder(tmp_path / "outs", blobs(per_class=20, first=3, classes=2).without_labels())
    return tmp_path / "known", tmp_path / "outs"


def test_choices_follow_the_images(folders: tuple[Path, Path], tmp_path: Path) -> None:
    known, outs = folders
    grey = planned(known, synthetic=False).parts
    assert (grey.backbone_name, grey.objective.called(outs=False), grey.preprocessing) == (
        "lenet",
        "ml",
        Preprocessing(28, 28, 1),
    )
    assert isinstance(grey.backbone(embedding=5), LeNet)
    parts = planned(known, synthetic=False, judging="bf16").parts
    assert isinstance(parts, Parts)
    assert isinstance(grey, Parts)
    assert (grey.judging, parts.judging) == ("float32", "bf16")
    Image.new("RGB", (20, 20), "red").save(known / "place 0" / "red.png")
    colour = planned(known, [outs]).parts
    assert (colour.backbone_name, colour.objective.called(outs=True), colour.preprocessing) == (
        "wrn-16-2",
        "odm",
        Preprocessing(32, 32, 3),
    )
    network = colour.backbone(embedding=5)
    assert isinstance(network, WideResNet)
    assert (colour.objective.to_dict()["same_share"], network.settings["gain"]) == (0.25, 10.0)
    small = planned(known, objective="ce", channels=1, size=16).parts
    assert (small.preprocessing, type(small.objective)) == (Preprocessing(16, 16, 1), CrossEntropy)
    assert small.backbone(logits=3).settings["channels"] == 1


def test_an_objective_of_ones_own_is_taken_as_it_is(folders: tuple[Path, Path]) -> None:
    own = Contrastive(margin=3.0)
    assert planned(folders[0], objective=own).parts.objective is own


def test_small_sets_hold_out_enough_to_set_a_threshold(folders: tuple[Path, Path]) -> None:
    plan = planned(folders[0], **QUICK)
    assert plan.held_out == pytest.approx(20 / 90)
    labels = plan.known.source.labels
    held = hold_out_groups(labels, plan.groups.ids, plan.held_out, np.random.default_rng(0))
    assert np.bincount(labels[held]).tolist() == [7, 7, 7]


def test_held_out_images_are_never_trained_on(folders: tuple[Path, Path]) -> None:
    fitted = run_plan(planned(folders[0], **QUICK))
    images = {image.tobytes() for image in fitted.train.pixels[:]}
    assert not images & {image.tobytes() for image in fitted.held_out.pixels[:]}
    assert len(fitted.train) + len(fitted.held_out) == 90


def test_fit_returns_a_calibrated_boundary_that_says_how_it_was_made(
    folders: tuple[Path, Path],
) -> None:
    boundary = knowbound.fit(folders[0], [folders[1]], **QUICK)
    assert boundary.class_names == ("place 0", "place 1", "place 2")
    assert torch.isfinite(boundary.threshold.thresholds).all()
    assert boundary.about["objective"] == "odm"
    assert set(boundary.about["data_sha256"]) == {"known", "outliers 1"}
    assert boundary.about["settings"]["training"]["steps"] == 12


@pytest.mark.parametrize(
    ("stage", "step", "again", "synthetic"),
    [("training", 9, 11, False), ("base", 5, 3, True), ("training", 9, 11, True)],
)
def test_a_training_killed_in_between_resumes_to_the_same_model(
    stage: str, step: int, again: int, synthetic: bool, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    known, outs = folders
    plan = often_kept(planned(known, [outs], **(QUICK | {"synthetic": synthetic})))
    if synthetic:
        assert plan.parts.base
        base = replace(plan.parts.base, synthetic=40)
        base = replace(base, training=replace(base.training, checkpoint_every=2))
        plan = replace(plan, parts=replace(plan.parts, base=base))
    run_plan(plan, output=tmp_path / "whole")
    with pytest.raises(Killed):
        run_plan(plan, output=tmp_path / "killed", on_step=kill_at(step, stage))
    assert kept_state(tmp_path / "killed")
    seen: list[tuple[str, int]] = []

    def note(progress: Progress) -> None:
        seen.append((progress.stage, progress.step))
        if seen.count(("training", again)) == 1 and seen[-1] == ("training", again):
            raise Killed  # a resumed training can be killed, too

    with pytest.raises(Killed):
        run_plan(plan, output=tmp_path / "killed", resume=True, on_step=note)
    assert seen[0] == (stage, {"base": 5, "training": 6}[stage])  # kept after 4 and after 5
    before = len(seen)
    run_plan(plan, output=tmp_path / "killed", resume=True, on_step=note)
    assert seen[before] == ("training", 1 if again < 5 else 11)  # kept after the base and after 10
    # the weights' name carries their hash
    whole, killed = (
        [p.name for p in (tmp_path / f).glob("*.safetensors")] for f in ("whole", "killed")
    )
    assert len(whole) == 1
    assert whole == killed
    assert not kept_state(tmp_path / "killed")


def test_resuming_with_other_images_is_refused(folders: tuple[Path, Path], tmp_path: Path) -> None:
    known, _ = folders
    with pytest.raises(Killed):
        run_plan(often_kept(planned(known, **QUICK)), output=tmp_path / "model", on_step=kill_at(9))
    Image.fromarray(np.zeros((16, 16), np.uint8)).save(known / "place 0" / "new.png")
    changed = often_kept(planned(known, **QUICK))
    with pytest.raises(UserError, match="belongs to another training"):
        run_plan(changed, output=tmp_path / "model", resume=True)


def test_resuming_from_another_base_is_refused(folders: tuple[Path, Path], tmp_path: Path) -> None:
    plan = often_kept(planned(folders[0], **(QUICK | {"synthetic": True})))
    assert plan.parts.base

    def with_outliers(count: int) -> Plan:
        return replace(
            plan, parts=replace(plan.parts, base=replace(plan.parts.base, synthetic=count))
        )

    with pytest.raises(Killed):
        run_plan(with_outliers(40), output=tmp_path / "model", on_step=kill_at(9))
    with pytest.raises(UserError, match="another training .*base.synthetic was 40, now 50"):
        run_plan(with_outliers(50), output=tmp_path / "model", resume=True)


def test_a_resumed_training_is_never_calibrated_on_what_it_learned(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    known, _ = folders
    settings = {**QUICK, "held_out": 0.1}

    def plan(acceptance: float) -> Plan:
        return often_kept(planned(known, **settings, acceptance=acceptance))

    whole = run_plan(plan(0.95))
    with pytest.raises(Killed):
        run_plan(plan(0.95), output=tmp_path / "model", on_step=kill_at(9))
    with pytest.raises(UserError, match="held out 19 groups.*takes at least 99"):
        run_plan(plan(0.99), output=tmp_path / "model", resume=True)
    fitted = run_plan(plan(0.9), output=tmp_path / "model", resume=True)
    assert len(run_plan(plan(0.9)).held_out) == 9, "of its own it would hold out others"
    np.testing.assert_array_equal(fitted.held_out.pixels, whole.held_out.pixels)
    assert fitted.boundary.threshold.describe()["images"] == 19
    assert not kept_state(tmp_path / "model")
    assert not (tmp_path / "model" / NOTED).exists()


def test_outliers_that_are_also_known_are_refused(folders: tuple[Path, Path]) -> None:
    known, outs = folders
    (outs / "copy.png").write_bytes((known / "place 1" / "31.png").read_bytes())
    with pytest.raises(UserError, match=r"1 of 41 images of .*byte for byte.*copy.png"):
        planned(known, [outs], **QUICK)


def test_the_same_picture_in_two_classes_is_refused(folders: tuple[Path, Path]) -> None:
    known, _ = folders
    (known / "place 0" / "copy.png").write_bytes((known / "place 1" / "31.png").read_bytes())
    with pytest.raises(UserError, match="in two classes"):
        planned(known, **QUICK)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"objective": "odm"}, "odm was asked for without outliers"),
        ({"objective": "sextuplet"}, "objective 'sextuplet' is unknown"),
        ({"acceptance": 95}, "between 0 and 1"),
        ({"backbone": "resnet50"}, "backbone 'resnet50' is unknown"),
    ],
)
def test_settings_that_cannot_be_used(
    settings: dict[str, object], words: str, folders: tuple[Path, Path]
) -> None:
    with pytest.raises(UserError, match=words):
        planned(folders[0], **settings)


def test_outliers_for_an_objective_that_learns_from_none(folders: tuple[Path, Path]) -> None:
    with pytest.raises(UserError, match="objective ml learns from none"):
        planned(folders[0], [folders[1]], objective="ml")


def test_a_class_with_one_image_and_one_class_only(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    known, _ = folders
    (known / "single").mkdir()
    Image.fromarray(np.ones((16, 16), np.uint8)).save(known / "single" / "a.png")
    with pytest.raises(UserError, match=r"too few usable images of single \(1\)"):
        run_plan(planned(known, **QUICK))
    write_folder(tmp_path / "one", blobs(per_class=30, classes=1))
    with pytest.raises(UserError, match="has 1 class; expected at least two"):
        run_plan(planned(tmp_path / "one", **QUICK))


def test_an_output_that_cannot_be_written_is_said_before_the_training(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    steps: list[object] = []
    with pytest.raises(UserError, match="cannot be written"):
        run_plan(
            planned(folders[0], **QUICK), output=tmp_path / "file" / "model", on_step=steps.append
        )
    assert not steps


@pytest.mark.parametrize(
    ("objective", "kind"), [("confidence", ConfidenceLoss), ("oe", OutlierExposure)]
)
def test_objectives_that_learn_logits_from_outliers(
    objective: str, kind: type[Objective], folders: tuple[Path, Path]
) -> None:
    plan = planned(folders[0], [folders[1]], objective=objective)
    assert type(plan.parts.objective) is kind
    assert plan.parts.objective.called(outs=True) == objective
    network, source = plan.parts.backbone(logits=3), plan.known.source
    detector = plan.parts.detector(network, source, source).detector
    assert type(detector) is MaxSoftmax
    with pytest.raises(UserError, match="asked for without outliers"):
        planned(folders[0], objective=objective)


@pytest.mark.parametrize(
    ("images", "held"),
    [(60, 20), (120, 20), (133, 20), (134, 40), (150, 40), (360, 40), (1000, 100)],
)
def test_what_is_held_out_leaves_room_for_one_odd_picture(images: int, held: int) -> None:
    """20 of them are enough for an acceptance of 95%; 40 leave the farthest outside."""
    share = held_share(Settings(), images)
    assert share * images == pytest.approx(held)
    n = round(share * images)
    assert math.ceil((n + 1) * 0.95) <= (n if images < 134 else n - 1)


@pytest.fixture(scope="module")
def trained() -> knowbound.Boundary:
    with TemporaryDirectory() as folder:
        write_folder(Path(folder), blobs(per_class=30))
        return knowbound.fit(folder, objective="two_heads", detector="stage_mahalanobis", **QUICK)


@pytest.mark.parametrize("name", DETECTORS)
def test_every_detector_can_be_chosen_saved_and_loaded(
    name: str, trained: knowbound.Boundary, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    assert type(trained.detector) is DETECTORS["stage_mahalanobis"]
    plan = planned(folders[0], objective="two_heads", detector=name, size=16)
    source = plan.known.source
    detector = plan.parts.detector(trained.backbone, source, source).detector
    assert type(detector) is DETECTORS[name]
    held_out = blobs(per_class=20, seed=5)
    (boundary,) = with_detectors(trained, [detector], plan.known.source, held_out)
    boundary.save(tmp_path / "model")
    images = blobs(per_class=5, classes=5).images(slice(None))
    expected, loaded = (
        boundary.judge(images),
        knowbound.Boundary.load(tmp_path / "model").judge(images),
    )
    np.testing.assert_allclose(loaded.score, expected.score)
    np.testing.assert_array_equal(loaded.decision, expected.decision)
    assert np.isfinite(expected.score).all()


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
    with pytest.raises(UserError, match="expected|leave it out"):
        planned(tmp_path / "not there", **given)


def test_a_largest_error_is_refused_before_training_or_the_training_is_kept(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    known, _ = folders
    with pytest.raises(UserError, match=r"takes at least 5\d\d held-out images.*there are 90 in"):
        planned(known, max_error=0.01, **QUICK)
    with pytest.raises(UserError, match="leave --per-class out"):
        planned(known, max_error=0.2, per_class=True, **QUICK)
    untrained = {**QUICK, "steps": 6, "objective": "ce", "learning_rate": 1e-9}  # classes are wrong
    plan = often_kept(planned(known, max_error=0.2, **untrained))
    with pytest.raises(UserError, match="no threshold keeps the error.*continue it with --resume"):
        run_plan(plan, output=tmp_path / "model")
    assert kept_state(tmp_path / "model")


def test_three_networks_are_one_model_of_one_answer(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    known, outs = folders
    plan = planned(known, [outs], **QUICK, networks=3)
    assert any("3 networks lenet that judge together" in line for line in plan.summary)
    fitted = run_plan(plan, output=tmp_path / "model")
    assert kept_state(tmp_path / "model") == []
    fitted.boundary.about["train_seconds"] = 4321.0  # of all; ``trained`` is the last one's
    assert any(line.startswith("Trained in 4321 s (") for line in fitted.summary)
    loaded = knowbound.Boundary.load(tmp_path / "model")
    images = fitted.held_out.images(slice(None))
    judged, again = fitted.boundary.judge(images), loaded.judge(images)
    np.testing.assert_array_equal(again.score, judged.score)
    np.testing.assert_array_equal(again.decision, judged.decision)
    assert judged.embedding.shape == (len(images), 3 * 32)
    assert "ensemble of 3 lenet" in (tmp_path / "model" / "card.md").read_text()


def test_a_number_of_networks_that_cannot_be(folders: tuple[Path, Path]) -> None:
    for networks in (0, 21):
        with pytest.raises(UserError, match=rf"number of networks of {networks} .* from 1 to 20"):
            planned(folders[0], networks=networks)
