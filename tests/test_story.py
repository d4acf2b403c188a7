"""One story from a folder to a verdict, as a practitioner lives it; and one with a network of one's
own."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import knowbound
from knowbound import Boundary, Contrastive, CrossEntropy, Decision, evaluate, fit
from knowbound.data.preprocessing import Preprocessing
from knowbound.detectors import Energy, MaxSoftmax, NearestCentre
from knowbound.detectors.detector import Detector
from knowbound.objectives import Objective
from knowbound.objectives.batches import BalancedBatches, RandomBatches
from knowbound.training import Training, train
from knowbound.workflows.predict import find_inputs, predict_parts
from knowbound.workflows.tables import table_writer
from tests.backbones.test_backbone import LikeTorchvision
from tests.samples import blob_images, blobs, write_folder

NEW = 4
"""The place of a class that nobody taught."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("story")
    write_folder(root / "known", blobs(per_class=60))
    write_folder(root / "outliers", blobs(per_class=60, first=3, classes=1).without_labels())
    write_folder(root / "test", blobs(per_class=20, seed=9))
    write_folder(root / "new", blobs(per_class=30, seed=9, first=NEW, classes=1).without_labels())
    (root / "noise").mkdir()
    rng = np.random.default_rng(0)
    for index in range(30):
        Image.fromarray(rng.integers(0, 256, (16, 16), dtype=np.uint8)).save(
            root / "noise" / f"{index}.png"
        )
    return root


def test_from_a_folder_to_a_verdict(place: Path) -> None:
    # learn
    boundary = fit(
        place / "known", place / "outliers", size=16, steps=150, precision="float32",
        synthetic=False, acceptance=0.9,
    )  # fmt: skip
    boundary.save(place / "model")

    # ask about one picture, in another process's stead: from disk
    model = Boundary.load(place / "model")
    known = blob_images(np.array([1]), np.random.default_rng(3))[0, 0]
    verdict = model.predict(Image.fromarray(known))
    assert (verdict.decision, verdict.class_name) == (Decision.KNOWN, "place 1")
    assert verdict.p_value > 1 - 0.9

    # ask about many files, into a table
    parts = find_inputs([place / "test", place / "noise"]).parts
    with table_writer(place / "verdicts.jsonl") as write:
        for row in predict_parts(model, parts):
            write(row)
    rows = [json.loads(line) for line in (place / "verdicts.jsonl").open()]
    assert [row["path"] for row in rows] == [
        str(one.path) for part in parts for one in part.pictures()
    ]
    said = [(Path(row["path"]).parent.name, row["verdict"], row["class"]) for row in rows]
    right = [truth == name for truth, verdict, name in said if verdict == "known"]
    assert np.mean(right) > 0.95
    assert np.mean([v == "known" for truth, v, _ in said if truth != "noise"]) > 0.75
    assert np.mean([v == "anomaly" for truth, v, _ in said if truth == "noise"]) > 0.75

    # measure
    found = evaluate(
        model,
        place / "test",
        novelty={"new place": place / "new"},
        anomaly={"noise": place / "noise"},
        output=place / "report",
    )
    exact = {r.out_dist: r for r in found.evidence.results if r.convention == "exact"}
    assert exact["new place"].numbers.auroc > 0.9
    assert exact["noise"].numbers.auroc > 0.9
    assert exact["new place"].in_accuracy == pytest.approx(1.0, abs=0.05)
    counted = exact["noise"].decisions
    assert counted is not None
    assert counted["anomaly"] == sum(v == "anomaly" for truth, v, _ in said if truth == "noise")

    # read
    text = (place / "report" / "report.html").read_text(encoding="utf-8")
    for part in ("ODM", "new place", "noise", f"{100 * exact['noise'].numbers.auroc:.2f}"):
        assert part in text


OBJECTIVES: dict[str, tuple[Objective, Detector]] = {
    "metric": (Contrastive(rule=BalancedBatches(images=24, outs=0)), NearestCentre()),
    "softmax": (CrossEntropy(RandomBatches(images=24)), MaxSoftmax()),
    "energy": (CrossEntropy(RandomBatches(images=24)), Energy()),
}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_network_of_ones_own_is_trained_and_judges(name: str) -> None:
    """It has ``features``, as those of torchvision have, and no ``embed``."""
    objective, detector = OBJECTIVES[name]
    torch.manual_seed(0)
    network = LikeTorchvision()
    settings: dict[str, Any] = {"precision": "float32", "channels_last": False}
    train(network, blobs(), [], objective, Training(steps=60, **settings))
    boundary = knowbound.Boundary(network, detector, Preprocessing(16, 16, 1), ("a", "b", "c"))
    boundary.learn(blobs()).calibrate(blobs(seed=1))
    test = blobs(seed=2)
    judgement = boundary.judge(test)
    assert np.mean(judgement.nearest == test.labels) > 0.9
    assert np.mean(judgement.decision == 0) > 0.85
    head = "embedding" if name == "metric" else "logits"
    images = torch.from_numpy(test.images(slice(None)) / np.float32(255))
    with torch.no_grad():
        expected = network(images)
    np.testing.assert_allclose(judgement.embedding, expected, rtol=1e-3, atol=1e-4)
    assert list(boundary.backbone.heads) == [head]
