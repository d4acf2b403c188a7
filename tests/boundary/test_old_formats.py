"""Models that version 1 of the format wrote still say what they said then.

``format_1.tar.xz`` holds a folder for each detector, written by the code of that format on networks
of coarse weights, and in ``expected.json`` what each said of 20 images.
"""

import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from knowbound.boundary.boundary import Boundary
from knowbound.detectors import DETECTORS
from knowbound.errors import UserError
from tests.samples import blobs

ARCHIVE = Path(__file__).with_name("format_1.tar.xz")
with tarfile.open(ARCHIVE) as archive:
    EXPECTED: dict[str, dict[str, Any]] = json.load(archive.extractfile("expected.json"))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("format_1")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    return folder


def test_every_detector_of_that_time_has_a_model() -> None:
    assert {name.split("-", 1)[1] for name in EXPECTED} <= set(DETECTORS)
    assert len({name.split("-", 1)[1] for name in EXPECTED}) == 11


@pytest.mark.parametrize("name", EXPECTED)
def test_a_model_of_format_1_judges_as_it_did(name: str, models: Path) -> None:
    said = EXPECTED[name]
    found = Boundary.load(models / name)
    assert found.about == {"objective": name.split("-")[0]}
    judgement = found.judge(blobs(per_class=4, classes=5, seed=7))
    np.testing.assert_allclose(judgement.score, said["score"], rtol=2e-4, atol=2e-5)
    np.testing.assert_array_equal(judgement.nearest, said["nearest"])
    np.testing.assert_array_equal(judgement.decision, said["decision"])
    assert found.threshold.thresholds.tolist() == pytest.approx([said["threshold"]])


def test_a_model_of_format_1_promises_nothing_it_cannot_show(models: Path) -> None:
    found = Boundary.load(models / "ml-nearest_centre")
    assert found.threshold.describe()["acceptance"] == found.acceptance
    assert found.threshold.describe()["images"] == 0
    assert found.threshold.range() == (0.0, 1.0)
    assert found.threshold.sentence().startswith("none, as an earlier version")
    with pytest.raises(UserError, match="kept no held-out scores; fit it again"):
        found.adjust(0.9)


@pytest.mark.parametrize("name", ["ce-vim", "ml-nearest_centre"])
def test_a_model_of_format_1_can_be_saved_in_this_one(
    name: str, models: Path, tmp_path: Path
) -> None:
    old = Boundary.load(models / name)
    old.save(tmp_path)
    assert json.loads((tmp_path / "model.json").read_text())["format_version"] == 2
    images = blobs(per_class=4, classes=5, seed=7)
    for one, other in zip(old.judge(images), Boundary.load(tmp_path).judge(images), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)
