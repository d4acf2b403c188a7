"""Which network a folder gets: what is tried, on which images, and what is chosen; and a fit on a
frozen network."""

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from PIL import Image

from knowbound.backbones import LeNet
from knowbound.boundary import Boundary
from knowbound.building import Base
from knowbound.building.frozen import Embedded, FrozenParts
from knowbound.data.pictures.folder import read_folder
from knowbound.data.pictures.picture_lists import Listing
from knowbound.data.preprocessing import Preprocessing
from knowbound.detectors import KNearest, NearestCentre
from knowbound.errors import UserError
from knowbound.metrics import auroc
from knowbound.objectives import Contrastive
from knowbound.training import Training
from knowbound.workflows import audition, network_choice
from knowbound.workflows.audition import Audition, Head, Trial, choose, set_stage
from knowbound.workflows.fit import run_plan
from knowbound.workflows.heads import Surveyed
from knowbound.workflows.plan import Plan, plan_fit
from knowbound.workflows.recipes import FROZEN as FROZEN_RECIPES
from knowbound.workflows.settings import Settings
from tests.workflows.photographs import lenet, staged, write_photographs


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_photographs(tmp_path_factory.mktemp("photographs"), 8)


@pytest.fixture(autouse=True)
def apart(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache for all tests of this file, and few synthetic anomalies."""
    monkeypatch.setenv("KNOWBOUND_CACHE", str(tmp_path_factory.getbasetemp() / "audition_cache"))
    monkeypatch.setattr("knowbound.building.frozen.ANOMALIES", 24)


def planned(known: Path, **settings: Any) -> Plan:
    return plan_fit(known, settings=Settings(**settings))


def test_a_listing_is_sampled_evenly_by_class() -> None:
    names = ["a"] * 100 + ["b"] * 3 + ["c"] * 10
    files = [Path(f"{name}/{index}") for index, name in enumerate(names)]
    some = audition.sample_listing(Listing(files, names, ["a", "b", "c"]), 15)
    assert [some.classes.count(name) for name in "abc"] == [5, 3, 5]
    assert [path.name for path in some.files[:5]] == ["0", "25", "50", "74", "99"]
    assert [path.parts[0] for path in some.files] == some.classes


def test_no_candidate_learns_what_it_is_judged_on(photographs: Path) -> None:
    stage = staged(photographs)
    assert (len(stage.small.paths), len(stage.large.paths), len(stage.known)) == (32, 24, 3)
    assert [stage.small.paths[k] for k in stage.shared] == list(stage.large.paths)
    assert np.bincount(stage.large.source.labels[stage.judged]).tolist() == [
        2 if label in stage.known else 6 for label in range(4)
    ]
    learned = stage.learned_small
    assert learned.class_names == tuple(stage.names)
    images = {image.tobytes() for image in learned.images(slice(None))}
    judged = stage.small.source.images(stage.shared[stage.judged])
    assert not images & {image.tobytes() for image in judged}
    assert len(learned) == 24 - 6


def test_pictures_that_belong_together_are_on_one_side(tmp_path: Path) -> None:
    folder = write_photographs(tmp_path, 8)
    for path in sorted(folder.glob("*/*.png")):
        path.rename(path.with_name(f"{path.stem}-{'abcdefgh'.index(path.stem) // 2}.png"))
    small = read_folder(folder, Preprocessing(20, 20, 3), classes=True)
    stage = set_stage(small, small, r"-(\d)", seed=0)
    assert stage is not None
    inside = stage.judged & stage.is_known
    learned = {image.tobytes() for image in stage.learned_small.images(slice(None))}
    tracks = {
        path.rsplit("-", 1)[1] for path, held in zip(small.paths, inside, strict=True) if held
    }
    for index, path in enumerate(small.paths):
        if small.source.images(np.array([index]))[0].tobytes() in learned:
            assert path.rsplit("-", 1)[1] not in tracks


def test_too_few_pictures_set_no_stage(tmp_path: Path) -> None:
    small = read_folder(write_photographs(tmp_path, 2), Preprocessing(20, 20, 3), classes=True)
    assert set_stage(small, small, "none", seed=0) is None


def test_a_frozen_network_is_measured_on_held_out_images_and_left_out_classes(
    photographs: Path, tmp_path: Path
) -> None:
    stage, frozen = staged(photographs), lenet(tmp_path)
    embedded = frozen.embed(stage.large.source)
    trial = audition.try_frozen(stage, frozen, Head(None, "nearest_centre"), embedded)
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
    assert audition.try_frozen(stage, frozen, Head(None, "nearest_centre"), again).remembered


def test_a_survey_leaves_each_class_out_in_turn() -> None:
    rng = np.random.default_rng(0)
    centres = np.array([[0.0, 0, 0], [0.15, 0, 0], [9, 0, 0], [0, 9, 0]])
    labels = np.repeat(np.arange(4), 10)
    vectors = torch.from_numpy(centres[labels] + rng.normal(0, 0.1, (40, 3)))
    groups = np.arange(40) // 2
    found = audition.survey(vectors, labels, groups, lambda: NearestCentre("features"), 0)
    assert found is not None
    held = found.held
    assert (held[::2] == held[1::2]).all()
    assert np.bincount(labels[held]).tolist() == [4, 4, 4, 4]  # two of the five groups

    def centres_of(classes: list[int]) -> Any:
        own = [(labels == c) & ~held for c in classes]
        return np.stack([vectors.numpy()[o].mean(axis=0) for o in own])

    def distances(classes: list[int]) -> Any:
        return np.linalg.norm(vectors.numpy()[:, None] - centres_of(classes), axis=2)

    right = distances([0, 1, 2, 3])[held].argmin(axis=1) == labels[held]
    assert found.accuracy == pytest.approx(right.mean())
    areas = []
    for label in range(4):
        others = [c for c in range(4) if c != label]
        nearest = distances(others).min(axis=1)
        out = labels == label
        areas.append(float(auroc(nearest[held & ~out], nearest[out])))
    assert found.novelty_auroc == pytest.approx(np.mean(areas))
    assert found.alike.tolist()[:3] == [1, 0, 1]
    assert not found.is_enough


def test_of_many_classes_some_are_left_out_in_turn() -> None:
    labels = np.repeat(np.arange(30), 4)
    vectors = torch.randn(120, 5)
    made: list[NearestCentre] = []

    def make() -> NearestCentre:
        made.append(NearestCentre("features"))
        return made[-1]

    found = audition.survey(vectors, labels, np.arange(120), make, 0)
    assert found is not None
    assert len(made) == 1 + audition.IN_TURN == 21
    assert found.alike.shape == (30,)


def test_a_survey_of_two_classes_knows_no_novelty_and_of_too_few_images_nothing() -> None:
    vectors, labels = torch.randn(20, 3), np.repeat([0, 1], 10)
    two = audition.survey(vectors, labels, np.arange(20), lambda: NearestCentre("features"), 0)
    assert two is not None
    assert (two.novelty_auroc, two.is_enough) == (None, False)
    one = np.zeros(20, dtype=np.int64)
    assert audition.survey(vectors, labels, one, lambda: NearestCentre("features"), 0) is None


def test_what_is_most_alike_is_not_left_out_together() -> None:
    alike = np.array([1, 0, 3, 2, 0, 4])
    for seed in range(20):
        order = np.random.default_rng(seed).permutation(6)
        left = set(audition.left_out_classes(order, alike).tolist())
        assert 1 <= len(left) <= 2
        assert not any(int(alike[label]) in left for label in left)
    assert audition.left_out_classes(np.array([2, 3, 0, 1, 4, 5]), None).tolist() == [2, 3]


def test_a_training_is_tried_once(photographs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage, steps = staged(photographs), []
    base = Base(Contrastive(dim=4), Training(steps=10, precision="float32"))

    def make(**heads: int) -> LeNet:
        return LeNet(channels=3, height=20, width=20, **heads)

    def tried() -> Trial:
        return audition.try_trained(
            stage, "lenet", make, base, NearestCentre(), 0.3, lambda step: steps.append(step.step)
        )

    first = tried()
    assert (steps, first.how, first.trained) == ([1, 2, 3], "3 steps from nothing", 0.3)
    assert 0 <= first.accuracy <= 1
    assert first.novelty_auroc is not None
    assert tried() == replace(first, remembered=True)
    assert steps == [1, 2, 3]


def test_a_trial_is_a_share_of_the_steps_and_no_more_than_its_pictures_bear() -> None:
    assert audition.trial_steps(2100, 0.2, 4000) == 420
    assert audition.trial_steps(2100, 0.2, 96) == 100
    assert audition.trial_steps(2, 0.1, 50) == 1


def trial(name: str, accuracy: float, novelty: float | None, trained: float = 1.0) -> Trial:
    return Trial(name, 32, "tried", accuracy, novelty, 1.0, trained)


def test_the_best_expected_mark_is_chosen() -> None:
    frozen = trial("photographs", 0.9, 0.8)
    assert frozen.mark == frozen.expected == pytest.approx(0.85)
    assert trial("photographs", 0.9, None).mark == 0.9
    half = trial("wrn", 0.8, 0.6, trained=0.2)
    assert half.expected == pytest.approx(1 - 0.3 * 0.6)
    assert choose([frozen, half])[0] == "photographs"
    assert choose([frozen, trial("wrn", 0.8, 0.72, trained=0.2)])[0] == "wrn"
    held = audition.enough(frozen, 12)
    assert held.chosen == "photographs"
    assert "85.0%" in held.reason
    assert held.lines[0] == "Audition on 12 held-out pictures, each class in turn left out:"


@pytest.mark.parametrize(("novelty", "enough"), [(0.97, True), (0.95, False), (None, False)])
def test_a_survey_says_whether_to_try_another(novelty: float | None, enough: bool) -> None:
    found = audition.Survey(0.98, novelty, np.arange(3), np.zeros(9, dtype=bool))
    assert found.is_enough is enough


def test_what_was_tried_is_told() -> None:
    held = Audition(
        "a", "Chosen: a.", (trial("a", 0.9, 0.8), trial("b", 0.5, None)), ("red",), 30, 8
    )
    assert held.lines[0] == "Audition on 30 held-out pictures and 8 of red, left out:"
    assert (
        held.lines[1].strip().startswith("a, 32 pixels, tried: accuracy 90.0%, novelty AUROC 80.0%")
    )
    assert held.lines[-1] == "Chosen: a."
    assert held.to_dict()["trials"][1]["novelty_auroc"] is None
    assert Audition("lenet", "").lines == ()


def no_trial(*args: Any, **settings: Any) -> Trial:
    raise AssertionError("nothing was to be tried")


def test_nothing_is_tried_where_nothing_can_come_of_it(
    tmp_path: Path, photographs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network_choice, "survey_heads", no_trial)
    grey = tmp_path / "grey"
    for path in photographs.glob("*/*.png"):
        (grey / path.parent.name).mkdir(parents=True, exist_ok=True)
        Image.open(path).convert("L").resize((20, 20)).save(grey / path.parent.name / path.name)
    held = planned(grey).audition
    assert (held.chosen, held.lines) == ("lenet", ())
    for asked in ({"steps": 5}, {"objective": "ce"}, {"size": 32}, {"audition": 0.0}):
        assert planned(photographs, **asked).audition == Audition("wrn-16-2", "")
    monkeypatch.setattr(network_choice, "has_weights", lambda name: False)
    (line,) = planned(photographs).audition.lines
    assert "100 x 80 pixels" in line
    assert "pip install 'knowbound[photographs]'" in line
    small = write_photographs(tmp_path / "small", 4, size=40)
    assert planned(small).audition.lines == ()


def survey_giving(marks: dict[str, float]) -> Any:
    """Stands for ``survey_heads``: a head of a mark by the network's name, and a worse one."""

    def surveyed(frozen: Any, images: Any, *rest: Any) -> list[Surveyed]:
        mark = marks[frozen.name]
        heads = ((Head("mean", "nearest_centre"), mark - 0.1), (Head("mean", "k_nearest"), mark))
        return [
            Surveyed(
                frozen,
                head,
                images,
                cast(Embedded, None),
                audition.Survey(it, it, np.arange(4), np.zeros(32, dtype=bool)),
                Trial(frozen.name, frozen.side, f"frozen, {head}", it, it, 1.0),
            )
            for head, it in heads
        ]

    return surveyed


def test_auto_takes_what_does_better(photographs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network_choice, "survey_heads", survey_giving({"efficientnet-lite0": 0.9}))
    monkeypatch.setattr(
        network_choice, "try_frozen", lambda *rest: trial("efficientnet-lite0", 0.9, 0.9)
    )
    monkeypatch.setattr(
        network_choice, "try_trained", lambda *rest: trial("wrn-16-2", 0.5, 0.5, 0.1)
    )
    taken = planned(photographs)
    assert isinstance(taken.parts, FrozenParts)
    assert isinstance(taken.parts.detector, KNearest)
    assert taken.parts.frozen.network.settings["pooling"] == "mean"
    assert taken.audition.head == Head("mean", "k_nearest")
    assert taken.summary[2] == "Heads on frozen networks, each class in turn left out:"
    assert "lite0, 160 pixels, frozen, nearest_centre on mean features" in taken.summary[3]
    assert taken.parts.preprocessing == Preprocessing(160, 160, 3, fit="crop")
    assert any(
        line.startswith("Audition on 6 held-out pictures and 8 of") for line in taken.summary
    )
    monkeypatch.setattr(
        network_choice, "try_trained", lambda *rest: trial("wrn-16-2", 1.0, 0.9, 0.1)
    )
    assert planned(photographs).parts.preprocessing == Preprocessing(32, 32, 3)


FROZEN: dict[str, Any] = {"backbone": "efficientnet-lite0", "size": 64, "precision": "float32"}


def test_a_frozen_fit_is_saved_loads_again_and_takes_nothing_the_second_time(
    photographs: Path, tmp_path: Path
) -> None:
    plan = planned(photographs, **FROZEN, acceptance=0.8, held_out=0.25)
    fitted = run_plan(plan, output=tmp_path / "model")
    assert (len(fitted.train), len(fitted.held_out)) == (24, 8)
    assert "Features computed of 56 pictures" in fitted.summary[0]
    loaded = Boundary.load(tmp_path / "model")
    picture = next((photographs / "gold").iterdir())
    assert isinstance(loaded.predict(picture).score, float)
    assert (loaded.judge(fitted.train).nearest == fitted.train.labels).mean() > 0.9
    assert loaded.about["objective"] == "frozen"
    again = run_plan(planned(photographs, **FROZEN, acceptance=0.8, held_out=0.25))
    assert "Features computed of 0 pictures" in again.summary[0]
    one, two = (b.judge(fitted.held_out) for b in (loaded, again.boundary))
    np.testing.assert_array_equal(one.score, two.score)
    assert Image.open(picture).size == (100, 80)
    assert loaded.preprocessing.fit == "crop"


def test_few_pictures_are_left_out_in_turn_and_told_so(photographs: Path, tmp_path: Path) -> None:
    plan = planned(photographs, **FROZEN)
    assert plan.held_out == 0
    fitted = run_plan(plan, output=tmp_path / "model")
    assert Boundary.load(tmp_path / "model").about["measured"]["images"] == 32
    assert (len(fitted.train), len(fitted.held_out)) == (32, 0)
    assert fitted.boundary.threshold.describe()["images"] == 32
    assert any(line.startswith("Few pictures: the threshold comes from") for line in fitted.summary)
    assert fitted.accepted.groups.tolist() == [8, 8, 8, 8]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"steps": 5}, "a number of steps (5) was asked for, but efficientnet-lite0 is frozen"),
        ({"objective": "ce"}, "an objective (ce) was asked for"),
        ({"detector": "odin"}, "the detector odin"),
        ({"audition": 1.5}, "a share for the audition of 1.5"),
    ],
)
def test_what_a_frozen_network_cannot_have_is_refused(
    asked: dict[str, Any], words: str, photographs: Path
) -> None:
    with pytest.raises(UserError) as error:
        planned(photographs, **FROZEN, **asked)
    assert words in str(error.value)


def test_few_large_pictures_are_given_at_the_size_the_network_was_trained_on() -> None:
    recipe = FROZEN_RECIPES["efficientnet-lite0"]
    assert [recipe.side_for(*it) for it in ((202, 2000), (201, 9), (4000, 2001))] == [
        224,
        160,
        160,
    ]
    assert recipe.side_for(4000, 9, 96) == 96
