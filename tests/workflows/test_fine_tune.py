"""Fine-tuning through ``fit``, from the command line and from Python, with a small network."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import knowbound
from knowbound.backbones import Pretrained
from knowbound.boundary import Boundary
from knowbound.building import FrozenParts
from knowbound.building.tuning import Tuning
from knowbound.errors import UserError
from knowbound.product.any_model import load_model
from knowbound.product.onnx_export import export
from knowbound.workflows import recipes
from knowbound.workflows.plan import Plan, plan_fit
from knowbound.workflows.recipes import FROZEN
from knowbound.workflows.settings import Settings
from tests.backbones.settled import settled_lite
from tests.command import knowbound as run
from tests.workflows.photographs import write_photographs


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_photographs(tmp_path_factory.mktemp("photographs"), 12)


@pytest.fixture(autouse=True)
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network of fresh weights, a cache of its own, and few synthetic anomalies."""
    monkeypatch.setenv("KNOWBOUND_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("knowbound.building.frozen.ANOMALIES", 24)
    recipe = replace(FROZEN["efficientnet-lite0"], make=lambda channels: settled_lite())
    monkeypatch.setitem(recipes.FROZEN, "efficientnet-lite0", recipe)


ASKED = ("--size", 64, "--steps", 2, "--precision", "float32")


@pytest.mark.parametrize(("depth", "words"), [("last", "its last layers"), ("all", "all of it")])
def test_a_tuned_model_is_saved_exported_and_not_tuned_twice(
    depth: str,
    words: str,
    photographs: Path,
    tmp_path: Path,
) -> None:
    command = ("fit", photographs, "--fine-tune", depth, *ASKED, "-o", tmp_path / "model")
    ran = run(*command)
    assert ran.returncode == 0
    said = " ".join(ran.stdout.split())
    assert f"the network efficientnet-lite0, {words} fine-tuned;" in said
    in_turn = "the threshold from leaving pictures out in turn" in said
    assert in_turn == (depth == "last")
    assert "Fine-tuned in" in said
    assert "(2 steps" in said
    assert "Nothing was trained" not in said
    boundary = Boundary.load(tmp_path / "model")
    assert boundary.about["objective"] == "fine-tuned"
    assert boundary.about["settings"]["tuned"]["tuning"]["depth"] == depth
    fresh, own = settled_lite().state_dict(), boundary.backbone.state_dict()
    assert not torch.equal(own["head.conv.weight"], fresh["head.conv.weight"])
    assert torch.equal(own["stem.conv.weight"], fresh["stem.conv.weight"]) == (depth == "last")
    if depth == "all":
        return
    ran = run(*command, "--overwrite")
    assert ran.returncode == 0
    said = " ".join(ran.stdout.split())
    assert "Fine-tuned before in" in said
    assert "Features computed of 0 pictures" in said
    assert "1 fine-tuned take" in " ".join(run("cache").stdout.split())
    _same_in_onnx(boundary, next((photographs / "gold").iterdir()), tmp_path)


def _same_in_onnx(boundary: Boundary, picture: Path, folder: Path) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    export(boundary, folder / "exported.onnx")
    exported = load_model(folder / "exported.onnx")
    one, two = boundary.predict(picture), exported.predict(picture)
    assert one.nearest_class == two.nearest_class
    np.testing.assert_allclose(one.score, two.score, rtol=1e-3, atol=1e-3)


def test_of_few_pictures_none_is_held_out_but_of_a_whole_tuning(photographs: Path) -> None:
    def planned(**asked: Any) -> Plan:
        return plan_fit(photographs, settings=Settings(size=64, **asked))

    def tuning(plan: Plan) -> Tuning | None:
        assert isinstance(plan.parts, FrozenParts)
        return plan.parts.tuning

    plan, frozen = planned(fine_tune="last"), planned(backbone="efficientnet-lite0")
    assert plan.held_out == frozen.held_out == 0
    assert planned(fine_tune="all").held_out > 0
    assert planned(fine_tune="last", detector="stage_mahalanobis").held_out > 0
    assert planned(fine_tune="last", held_out=0.3).held_out == 0.3
    assert tuning(plan) == recipes.TUNINGS["last"]
    assert tuning(frozen) is None
    whole = planned(fine_tune="all", steps=7, learning_rate=0.5, seed=3)
    changed = replace(recipes.TUNINGS["all"], steps=7, learning_rate=0.5, seed=3)
    assert tuning(whole) == changed


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--backbone", "lenet"), "lenet has no published weights; leave --fine-tune out"),
        (("--backbone", "wrn-16-2"), "fine-tuning (last) was asked for, but wrn-16-2 has no"),
        (("--objective", "ce"), "efficientnet-lite0 is fine-tuned by a loss of its own"),
        (("--dim", "8"), "a length of the embedding (8) was asked for"),
    ],
)
def test_what_cannot_be_fine_tuned_is_one_sentence_and_exit_code_2(
    options: tuple[str, ...],
    words: str,
    photographs: Path,
    tmp_path: Path,
) -> None:
    command = ("fit", photographs, "--fine-tune", "last", "-o", tmp_path / "model", *options)
    ran = run(*command)
    assert ran.returncode == 2
    errors = " ".join(ran.stderr.split())
    assert words in errors
    assert "Traceback" not in errors


def test_another_depth_is_refused_in_python(photographs: Path) -> None:
    with pytest.raises(UserError, match="fine-tuning of first was asked for; expected one of last"):
        knowbound.fit(photographs, fine_tune="first")  # type: ignore[arg-type]


def test_a_network_of_transformers_is_tuned_whole(photographs: Path, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    from tests.backbones.published import CONFIGS, saved

    saved(tmp_path / "net", CONFIGS["resnet"]())
    asked: dict[str, Any] = {"backbone": str(tmp_path / "net"), "precision": "float32"}
    boundary = knowbound.fit(photographs, fine_tune="all", steps=1, **asked)
    assert isinstance(boundary.backbone, Pretrained)
    assert boundary.about["objective"] == "fine-tuned"
    with pytest.raises(UserError, match="only all of net can be"):
        knowbound.fit(photographs, fine_tune="last", **asked)
