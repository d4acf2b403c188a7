"""A fit on a frozen network."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from knowbound.boundary import Boundary
from knowbound.building.frozen import FrozenParts
from knowbound.errors import UserError
from knowbound.workflows.evaluate import evaluate
from knowbound.workflows.fit import run_plan
from knowbound.workflows.recipes import FROZEN as FROZEN_RECIPES
from tests.workflows.photographs import planned

pytestmark = pytest.mark.usefixtures("shared_cache")


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


@pytest.mark.parametrize("precision", ["auto", "bf16"])
def test_features_are_computed_in_the_numbers_that_the_boundary_judges_in(
    precision: str, photographs: Path
) -> None:
    """Whatever the machine multiplies fast: the threshold is set on these features."""
    parts = planned(photographs, **{**FROZEN, "precision": precision}).parts
    assert isinstance(parts, FrozenParts)
    assert parts.frozen.numbers == "float32"


def test_few_pictures_are_left_out_in_turn_and_told_so(photographs: Path, tmp_path: Path) -> None:
    plan = planned(photographs, **FROZEN)
    assert plan.held_out == 0
    fitted = run_plan(plan, output=tmp_path / "model")
    assert Boundary.load(tmp_path / "model").about["measured"]["images"] == 32
    assert (len(fitted.train), len(fitted.held_out)) == (32, 0)
    assert fitted.boundary.threshold.describe()["images"] == 32
    assert any(line.startswith("Few pictures: the threshold comes from") for line in fitted.summary)
    assert fitted.accepted.groups.tolist() == [8, 8, 8, 8]
    assert any("no class has more than 8 images" in line for line in fitted.summary)
    with pytest.raises(UserError, match="learned from all of its few pictures.*--held-out"):
        evaluate(fitted.boundary, photographs, detectors=["nearest_centre"], fit_on=photographs)


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
