"""The first look: which digits play which role, and what is written."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from knowbound.boundary import Boundary
from knowbound.data.sets.digits import read_digits
from knowbound.errors import UserError
from knowbound.experiment import run
from knowbound.workflows.demo import demo_experiments, digits_split, run_demo


def images_of(source: object) -> set[bytes]:
    return {image.tobytes() for image in source.images(slice(None))}  # type: ignore[attr-defined]


def test_roles_share_no_image_and_cover_all_digits() -> None:
    split = digits_split()
    parts = [split.train, split.validation, split.test]
    assert {part.class_names for part in parts} == {("2", "6", "7")}
    sizes = np.array([len(part) for part in parts])
    np.testing.assert_allclose(sizes / sizes.sum(), [0.6, 0.2, 0.2], atol=0.01)
    sets = [images_of(part) for part in (*parts, *(o.source for o in split.seen_out))]
    novelty, noise, patches = split.unseen_out
    sets.append(images_of(novelty.source))
    assert len(set().union(*sets)) == sum(map(len, sets))
    digits = len(parts[0]) + len(parts[1]) + len(parts[2])
    digits += len(split.seen_out[0].source) + len(novelty.source)
    assert digits == len(read_digits())
    assert [str(out.kind) for out in split.unseen_out] == ["novelty", "anomaly", "anomaly"]
    assert len(noise.source) == len(patches.source) == 1000


def test_the_split_is_that_of_its_seed() -> None:
    first, again, other = (digits_split(seed).train.sha256() for seed in (3, 3, 4))
    assert first == again != other


def test_ml_and_odm_differ_in_the_seen_digits_alone() -> None:
    ce, ml, odm = demo_experiments(digits_split(), seed=2)
    assert (ce.method, ml.method, odm.method) == ("CE", "ML", "ODM")
    assert odm.split.seen_out
    assert not ml.split.seen_out
    assert replace(ml, method="ODM", split=odm.split) == odm or ml.objective == odm.objective
    assert ml.training == odm.training
    assert ce.objective.heads == ("logits",)
    assert {one.training.seed for one in (ce, ml, odm)} == {2}


def test_models_rows_and_report_are_written(tmp_path: Path) -> None:
    steps: dict[str, int] = {}
    evidence = run_demo(
        tmp_path / "demo",
        steps=60,
        on_step=lambda method, progress: steps.update({method: progress.step}),
    )
    assert steps == dict.fromkeys(("CE", "ML", "ODM"), 60)
    rows = [json.loads(line) for line in (tmp_path / "demo" / "rows.jsonl").open()]
    assert len(rows) == 9
    by_method = {one.method: one for one in evidence}
    for method, one in by_method.items():
        kept = Boundary.load(tmp_path / "demo" / method.lower())
        assert kept.about["objective"] == method.lower()
        assert one.results[0].in_accuracy is not None
        assert one.results[0].in_accuracy > 0.9
    text = (tmp_path / "demo" / "report.html").read_text(encoding="utf-8")
    assert "learned the handwritten digits 2, 6 and 7" in text


def test_a_place_that_cannot_be_written_is_said_before_any_training(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    steps: list[object] = []
    with pytest.raises(UserError, match="cannot be written"):
        run_demo(tmp_path / "file" / "demo", on_step=lambda *words: steps.append(words))
    assert not steps


def test_an_experiment_of_the_demo_runs() -> None:
    (_, _, odm) = demo_experiments(digits_split())
    outcome = run(replace(odm, training=replace(odm.training, steps=3)))
    assert [row.out_dist for row in outcome.evidence.results] == [
        "Novelty",
        "Gaussian noise",
        "Photograph patches",
    ]
