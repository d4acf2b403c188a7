"""A saved model measured on folders: rows, what is called seen, further detectors, and refusals."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import cross_entropy

import knowbound
from knowbound import Boundary, UserError, evaluate
from knowbound.data.outs.noise import gaussian_noise
from knowbound.detectors import MaxSoftmax
from knowbound.detectors.choice import detectors_for
from knowbound.evidence import Evidence
from knowbound.metrics import CONVENTIONS, measure
from knowbound.objectives import Objective
from knowbound.objectives.batches import RandomBatches
from knowbound.outputs import Head
from knowbound.workflows.evaluate import match_classes, outputs_of
from tests.samples import blobs, write_folder

QUICK: dict[str, Any] = {"steps": 30, "size": 16, "precision": "float32", "synthetic": False}


@dataclass(frozen=True)
class Smoothed(Objective):
    """Cross-entropy with smoothed labels: an objective of one's own, on the class head."""

    name: ClassVar[str] = "smoothed"
    heads: ClassVar[tuple[Head, ...]] = ("logits",)
    uses_outs: ClassVar[bool] = False
    rule: RandomBatches = field(default_factory=lambda: RandomBatches(images=24))

    def __call__(self, values: Tensor, labels: Tensor) -> Tensor:
        return cross_entropy(values, labels, label_smoothing=0.1)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("evaluate")
    write_folder(root / "known", blobs(per_class=40))
    write_folder(root / "outs", blobs(per_class=20, first=3, classes=1).without_labels())
    write_folder(root / "test", blobs(per_class=15, seed=9))
    write_folder(root / "new", blobs(per_class=20, seed=9, first=4, classes=1).without_labels())
    noise = gaussian_noise(20, (1, 16, 16), np.random.default_rng(0))
    pixels = np.rint(noise.images(slice(None)) * 255).astype(np.uint8)
    write_folder(root / "noise", replace(noise, pixels=pixels))
    return root


@pytest.fixture(scope="module")
def odm(place: Path) -> Boundary:
    return knowbound.fit(place / "known", place / "outs", **QUICK)


@pytest.fixture(scope="module")
def smoothed(place: Path) -> Boundary:
    return knowbound.fit(place / "known", objective=Smoothed(), **QUICK)


def test_rows_are_the_metrics_of_every_convention(odm: Boundary, place: Path) -> None:
    found = evaluate(
        odm, place / "test", novelty={"new": place / "new"}, anomaly={"noise": place / "noise"}
    )
    assert found.others == ()
    evidence = found.evidence
    assert (evidence.method, evidence.class_names) == ("ODM", odm.class_names)
    inside = evidence.in_set.judgement.score
    assert {(row.out_dist, row.kind, row.convention) for row in evidence.results} == {
        (name, kind, convention)
        for name, kind in (("new", "novelty"), ("noise", "anomaly"))
        for convention in CONVENTIONS
    }
    for row in evidence.results:
        (out,) = (out for out in evidence.out_sets if out.name == row.out_dist)
        expected = measure(inside, out.judgement.score, convention=row.convention)
        for name in ("auroc", "fpr95", "aupr_out"):
            assert getattr(row.numbers, name) == pytest.approx(getattr(expected, name), nan_ok=True)
        assert (row.n_in, row.n_out) == (45, 20)
    judged = odm.judge(odm.preprocessing.apply(blobs(per_class=15, seed=9)))
    assert sorted(judged.score) == pytest.approx(sorted(inside), rel=1e-4)
    assert evidence.in_set.paths[0].endswith(".png")


def test_rows_and_a_report_are_written(odm: Boundary, place: Path, tmp_path: Path) -> None:
    found = evaluate(
        odm, place / "test", novelty={"new": place / "new"}, output=tmp_path / "deep" / "report"
    )
    lines = (tmp_path / "deep" / "report" / "rows.jsonl").read_text().splitlines()
    assert [json.loads(line)["auroc"] for line in lines] == [
        pytest.approx(row.numbers.auroc, nan_ok=True) for row in found.evidence.results
    ]
    assert "ODM" in (tmp_path / "deep" / "report" / "report.html").read_text(encoding="utf-8")


def test_pictures_of_the_training_are_called_seen_and_told(odm: Boundary, place: Path) -> None:
    found = evaluate(odm, place / "known", novelty={"shown": place / "outs", "new": place / "new"})
    seen = {row.out_dist: row.seen for row in found.evidence.results}
    assert seen == {"shown": True, "new": False}
    told = " ".join(str(problem) for problem in found.problems)
    assert "learned from in training" in told
    assert "shown as outliers in training" in told


def test_an_objective_of_ones_own_keeps_its_name_and_gets_a_detector_of_its_head(
    smoothed: Boundary, place: Path, tmp_path: Path
) -> None:
    assert type(smoothed.detector) is MaxSoftmax
    assert smoothed.about["objective"] == "smoothed"
    smoothed.save(tmp_path / "model")
    again = Boundary.load(tmp_path / "model")
    found = evaluate(
        again, place / "test", novelty={"new": place / "new"}, output=tmp_path / "report"
    )
    assert found.evidence.method == "SMOOTHED"
    assert {row.run.method for row in found.evidence.results} == {"SMOOTHED"}
    assert found.evidence.shows == "logits"
    assert "SMOOTHED" in (tmp_path / "report" / "report.html").read_text(encoding="utf-8")


def test_a_network_of_logits_is_compared_by_every_detector(smoothed: Boundary, place: Path) -> None:
    found = evaluate(
        smoothed,
        place / "test",
        novelty={"new": place / "new"},
        detectors="all",  # type: ignore[arg-type]  # one word does
        fit_on=place / "known",
    )
    names = detectors_for(("stages", "features", "logits"))
    assert [one.results[0].run.variant for one in found.others] == list(names)
    again = next(one for one in found.others if one.results[0].run.variant == "max_softmax")
    own = found.evidence
    assert again.threshold == pytest.approx(own.threshold, rel=1e-5)
    np.testing.assert_allclose(again.in_set.judgement.score, own.in_set.judgement.score)
    assert {one.method for one in found.others} == {"SMOOTHED"}


def with_its_own_detector_again(boundary: Boundary, place: Path) -> tuple[Evidence, Evidence]:
    """What the model says, and what its detector says that was fitted again on its images."""
    found = evaluate(
        boundary,
        place / "test",
        detectors=["nearest_centre"],
        fit_on=place / "known",
        novelty={"new": place / "new"},
    )
    (again,) = found.others
    return found.evidence, again


def test_further_detectors_make_the_promise_of_the_model(place: Path) -> None:
    boundary = knowbound.fit(
        place / "known",
        detector="nearest_centre",
        confidence=0.95,
        per_class=True,
        held_out=0.1,
        **QUICK,
    )
    own, again = with_its_own_detector_again(boundary, place)
    assert boundary.threshold.describe()["groups"] == 59  # what 95% with a confidence of 95% takes
    np.testing.assert_allclose(
        again.in_set.judgement.score, own.in_set.judgement.score, rtol=1e-5, atol=1e-5
    )
    np.testing.assert_allclose(
        again.in_set.judgement.p_value, own.in_set.judgement.p_value, atol=1e-9
    )
    np.testing.assert_array_equal(again.in_set.judgement.decision, own.in_set.judgement.decision)


def test_after_another_acceptance_the_same_images_are_held_out(place: Path) -> None:
    boundary = knowbound.fit(place / "known", detector="nearest_centre", held_out=0.1, **QUICK)
    held = boundary.threshold.describe()["images"]
    boundary.adjust(0.8)
    own, again = with_its_own_detector_again(boundary, place)
    assert again.promise["images"] == held == 19  # an acceptance of 0.8 takes but 4
    np.testing.assert_allclose(
        again.in_set.judgement.p_value, own.in_set.judgement.p_value, atol=1e-9
    )


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"detectors": ["energy"]}, "--fit-on"),
        ({"fit_on": "known"}, "--detector"),
        ({"detectors": ["energy"], "fit_on": "known"}, "reads logits.*--objective ce"),
        ({"detectors": ["oracle"], "fit_on": "known"}, "'oracle' is unknown"),
        ({"novelty": {"test": "new"}}, "give it another name"),
        ({"novelty": {"a": "new"}, "anomaly": {"a": "noise"}}, "a name of its own"),
        ({"novelty": {"a": "missing"}}, "does not exist|no such|not exist"),
        ({"novelty": {"a": "test"}}, "cannot be both"),
    ],
)
def test_what_cannot_be_is_refused(
    given: dict[str, Any], words: str, odm: Boundary, place: Path
) -> None:
    def path(value: Any) -> Any:
        return {name: place / folder for name, folder in value.items()}

    arguments = {
        name: path(value)
        if isinstance(value, dict)
        else place / value
        if name == "fit_on"
        else value
        for name, value in given.items()
    }
    arguments.setdefault("novelty", {"new": place / "new"})
    with pytest.raises(UserError, match=words):
        evaluate(odm, place / "test", **arguments)


def test_a_class_that_the_model_does_not_know_is_named(
    odm: Boundary, place: Path, tmp_path: Path
) -> None:
    write_folder(tmp_path / "more", blobs(per_class=3, classes=4))
    with pytest.raises(UserError, match="place 3.*--novelty"):
        evaluate(odm, tmp_path / "more", novelty={"new": place / "new"})


def test_classes_get_the_index_of_the_model_and_may_be_fewer(odm: Boundary) -> None:
    source = blobs(per_class=4).take_classes(("place 2", "place 0"))
    matched = match_classes(source, odm, Path("test"))
    assert matched.class_names == odm.class_names
    assert matched.labels.tolist() == [{0: 2, 1: 0}[label] for label in source.labels.tolist()]
    assert matched.pixels is source.pixels


def test_what_a_network_gives_is_told_by_its_heads(odm: Boundary, smoothed: Boundary) -> None:
    assert outputs_of(odm) == ("stages", "features", "embedding")
    assert outputs_of(smoothed) == ("stages", "features", "logits")


def test_pictures_that_cannot_be_read_are_told(odm: Boundary, tmp_path: Path) -> None:
    write_folder(tmp_path / "test", blobs(per_class=3, seed=9))
    (tmp_path / "test" / "place 0" / "broken.png").write_bytes(b"\x89PNG nothing")
    Image.new("L", (16, 16), 7).save(tmp_path / "out.png")
    (tmp_path / "out").mkdir()
    (tmp_path / "out.png").rename(tmp_path / "out" / "out.png")
    found = evaluate(odm, tmp_path / "test", anomaly={"grey": tmp_path / "out"})
    assert any("broken.png" in str(problem) for problem in found.problems)
    assert len(found.evidence.in_set) == 9
    assert torch.isfinite(torch.from_numpy(found.evidence.in_set.judgement.score)).all()
