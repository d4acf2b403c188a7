"""Models by name, and a new one put in the place of an old one that still answers."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from knowbound.errors import UserError
from knowbound.product.serving.metrics import Metrics
from knowbound.product.serving.models import Models
from knowbound.product.serving.refusal import Refusal
from knowbound.product.serving.settings import Limits
from tests.product.serving.samples import Shade

BLACK = np.zeros((1, 4, 4), np.uint8)


def load(path: Path) -> Any:
    text = path.read_text()
    if text == "damaged":
        raise UserError(f"{path} is damaged")
    return Shade(text)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A file whose text is the name of its model's only class."""
    path = tmp_path / "model.onnx"
    path.write_text("first")
    return path


def loaded(*paths: Path) -> Models:
    named = {path.stem: path for path in paths}
    return Models(named, Limits(max_wait=0.001), Metrics(), load)


def test_the_one_before_answers_what_it_was_asked(model: Path) -> None:
    models = loaded(model)
    before = models.named(None)
    with before.used():
        model.write_text("second one")
        assert models.changed() == ["model"]
        assert models.changed() == []
        after = models.load_again("model")
        assert after is not None
        models.replace(after)
        assert models.named("model") is after
        assert before.batcher.submit([BLACK]).result(10)[0].class_name == "first"
        assert after.batcher.submit([BLACK]).result(10)[0].class_name == "second one"
        assert before.batcher.is_alive
    assert not before.batcher.is_alive
    assert models.are_ready
    models.stop()


def test_a_damaged_or_missing_one_changes_nothing(model: Path) -> None:
    models = loaded(model)
    before = models.named(None)
    for change in (lambda: model.write_text("damaged"), model.unlink):
        change()
        assert models.changed() == ["model"]
        assert models.load_again("model") is None
        assert models.named(None) is before
        assert before.batcher.is_alive
    model.write_text("damaged")
    assert models.changed() == ["model"]
    assert models.load_again("model") is None
    assert models.changed() == ["model"], "what could not be loaded is looked at again"
    model.write_text("first")  # the same again
    assert models.changed() == ["model"]
    assert models.load_again("model") is None
    models.stop()


def test_names(model: Path) -> None:
    models = loaded(model)
    assert models.named("model") is models.named(None)
    with pytest.raises(Refusal, match="expected one of 'model'") as caught:
        models.named("other")
    assert caught.value.status == 404
    models.stop()
    with pytest.raises(UserError, match="no model"):
        loaded()
