"""A model on disk: what was written comes back, or one sentence says why not."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from knowbound.boundary.model_file import read_model, write_model
from knowbound.errors import UserError
from knowbound.model_folder.description import DESCRIPTION, weights_of

ABOUT = {"knowbound": "1.2", "class_names": ["ä", "b"], "numbers": [0.1, None, 2]}
TENSORS = {
    "a.weight": torch.arange(6.0).reshape(2, 3),
    "a.turned": torch.arange(6, dtype=torch.float64).reshape(2, 3).T,
    "empty": torch.empty(0, dtype=torch.int64),
    "scalar": torch.tensor(float("nan")),
}


def weights(folder: Path) -> Path:
    return folder / weights_of(folder / DESCRIPTION, (folder / DESCRIPTION).read_bytes())


def test_description_and_tensors_come_back(tmp_path: Path) -> None:
    write_model(tmp_path / "new" / "model", ABOUT, TENSORS)
    description, tensors = read_model(tmp_path / "new" / "model")
    assert {name: description[name] for name in ABOUT} == ABOUT
    assert tensors.keys() == TENSORS.keys()
    for name, value in TENSORS.items():
        torch.testing.assert_close(tensors[name], value, rtol=0, atol=0, equal_nan=True)
        assert tensors[name].dtype == value.dtype


def test_a_second_model_takes_the_place_of_the_first(tmp_path: Path) -> None:
    for version in range(4):
        write_model(tmp_path, ABOUT | {"knowbound": str(version)}, {"a": torch.ones(version)})
        description, tensors = read_model(tmp_path)
        assert (description["knowbound"], tensors["a"].sum()) == (str(version), version)
    assert len(list(tmp_path.glob("*.safetensors"))) == 2  # the one before may just be read


def test_the_description_is_readable_and_carries_both_checksums(tmp_path: Path) -> None:
    write_model(tmp_path, ABOUT, TENSORS)
    text = (tmp_path / DESCRIPTION).read_text(encoding="utf-8")
    assert '"ä"' in text
    values = json.loads(text)
    assert values["weights_sha256"] == hashlib.sha256(weights(tmp_path).read_bytes()).hexdigest()
    checksum = values.pop("description_sha256")
    plain = json.dumps(values, sort_keys=True, ensure_ascii=False).encode()
    assert checksum == hashlib.sha256(plain).hexdigest()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "no description": (lambda f: (f / DESCRIPTION).unlink(), "there is no model in"),
    "no weights": (lambda f: weights(f).unlink(), "cannot be read.*copy both"),
    "other weights": (lambda f: cut(weights(f)), "damaged or of another model"),
    "half a description": (lambda f: cut(f / DESCRIPTION), "is not the description of a model"),
    "a list": (lambda f: (f / DESCRIPTION).write_text("[1]"), "is not the description of a model"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_said_in_a_sentence(damage: str, tmp_path: Path) -> None:
    write_model(tmp_path, ABOUT, TENSORS)
    harm, words = DAMAGES[damage]
    harm(tmp_path)
    with pytest.raises(UserError, match=words):
        read_model(tmp_path)


def test_weights_outside_the_folder_are_refused(tmp_path: Path) -> None:
    write_model(tmp_path, ABOUT, TENSORS)
    values = json.loads((tmp_path / DESCRIPTION).read_text())
    del values["description_sha256"]
    values["weights"] = "../elsewhere.safetensors"
    content = json.dumps(values, sort_keys=True, ensure_ascii=False).encode()
    values["description_sha256"] = hashlib.sha256(content).hexdigest()
    (tmp_path / DESCRIPTION).write_text(json.dumps(values))
    with pytest.raises(UserError, match="expected a file of its own folder"):
        read_model(tmp_path)
