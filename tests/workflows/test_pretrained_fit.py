"""A vision network of transformers through ``fit``, from the command line, offline."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from knowbound.boundary import Boundary
from knowbound.errors import UserError
from knowbound.workflows.recipes import FrozenRecipe, recipe_for
from tests.backbones.published import CONFIGS, SIDE, saved
from tests.command import knowbound as run


@pytest.fixture(autouse=True)
def apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of its own, few synthetic anomalies, and no hub."""
    constants = pytest.importorskip("huggingface_hub").constants
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("KNOWBOUND_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("knowbound.building.frozen.ANOMALIES", 24)


@pytest.mark.parametrize("kind", ["dinov2", "resnet"])
def test_a_folder_is_fitted_saved_and_judges_without_it(
    kind: str,
    photographs: Path,
    tmp_path: Path,
) -> None:
    network = tmp_path / "my network"
    model = saved(network, CONFIGS[kind]())
    words = ("fit", photographs, "--backbone", network, "-o", tmp_path / "model")
    ran = run(*words)
    assert ran.returncode == 0
    said = " ".join(ran.stdout.split())
    assert f"colour images of {SIDE} x {SIDE} pixels" in said
    assert "the network my-network, frozen; the detector relative_centre" in said
    network.rename(tmp_path / "gone")
    boundary = Boundary.load(tmp_path / "model")
    picture = next((photographs / "gold").iterdir())
    assert boundary.predict(picture).nearest_class in boundary.class_names
    state = boundary.backbone.state_dict()
    name, weight = next(iter(model.state_dict().items()))
    assert torch.equal(state[f"network.{name}"], weight)


def without_safetensors(folder: Path) -> None:
    """Its weights in a pickle."""
    saved(folder, CONFIGS["resnet"]())
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def with_code(folder: Path) -> None:
    """It is built by code of its own."""
    saved(folder, CONFIGS["resnet"]())
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "mine", "auto_map": {"AutoModel": "own.M"}}
    (folder / "config.json").write_text(json.dumps(config))


def empty(folder: Path) -> None:
    """No model at all."""
    folder.mkdir()


def fine(folder: Path) -> None:
    """A model that can be used."""
    saved(folder, CONFIGS["resnet"]())


@pytest.mark.parametrize(
    ("make", "options", "words"),
    [
        (without_safetensors, (), "has no weights in safetensors"),
        (with_code, (), "needs code that comes with it, which is never run here"),
        (empty, (), "cannot be read as a model"),
        (fine, ("--size", "64"), f"net takes {SIDE} alone; leave --size out"),
        (fine, ("--steps", "5"), "net is frozen and nothing is trained"),
        (fine, ("--networks", "3"), "number of networks (3) was asked for, but net is frozen"),
        (None, (), "the backbone"),
    ],
)
def test_what_cannot_be_used_is_one_sentence_and_exit_code_2(
    make: Callable[[Path], None] | None,
    options: tuple[str, ...],
    words: str,
    photographs: Path,
    tmp_path: Path,
) -> None:
    name = "net"
    if make is not None:
        make(tmp_path / "net")
        name = str(tmp_path / "net")
    command = ("fit", photographs, "--backbone", name, "-o", tmp_path / "model", *options)
    ran = run(*command)
    assert ran.returncode == 2
    errors = " ".join(ran.stderr.split())
    assert words in errors
    assert "Traceback" not in errors


def test_a_hub_that_cannot_be_reached_is_told_before_pictures_are_read(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("knowbound.workflows.reading.read_folder", None)
    with pytest.raises(UserError, match="is not on this machine and the hub cannot be reached"):
        recipe_for("nobody/has-this-model")
    command = ("fit", photographs, "--backbone", "nobody/has-this-model", "-o", tmp_path / "model")
    assert run(*command).returncode == 2


def test_a_recipes_name_can_name_a_file(tmp_path: Path) -> None:
    folder = tmp_path / ".a strange (näme)"
    saved(folder, CONFIGS["resnet"]())
    recipe = recipe_for(str(folder))
    assert isinstance(recipe, FrozenRecipe)
    assert (recipe.name, recipe.side, recipe.pooling) == ("a-strange-n-me-", SIDE, None)
