"""From a name to an objective, or to a sentence that says why not."""

import pytest

from knowbound.errors import UserError
from knowbound.objectives import OBJECTIVES, ConfidenceLoss, Contrastive, CrossEntropy
from knowbound.objectives.choice import make_objective


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("outs", [True, False])
def test_every_name_makes_its_objective_or_says_why_not(name: str, outs: bool) -> None:
    refused = {(only, False) for only in ("odm", "confidence", "oe")} | {("ml", True), ("ce", True)}
    if (name, outs) in refused:
        with pytest.raises(UserError, match=f"{name} .*(; give a folder|; leave them out)"):
            make_objective(name, outs=outs)
    else:
        assert make_objective(name, outs=outs) == OBJECTIVES[name]()


def test_settings_are_those_that_were_given() -> None:
    assert make_objective("odm", margin=4.0, dim=5, outs=True) == Contrastive(margin=4.0, dim=5)
    assert make_objective("ml", dim=5) == Contrastive(dim=5)
    assert make_objective("ml", margin=4.0) == Contrastive(margin=4.0)
    assert make_objective("ce") == CrossEntropy()
    assert make_objective("confidence", outs=True) == ConfidenceLoss()


@pytest.mark.parametrize("settings", [{"margin": 10.0}, {"dim": 5}, {"margin": 1.0, "dim": 5}])
def test_a_setting_that_an_objective_lacks_is_refused(settings: dict[str, float]) -> None:
    with pytest.raises(UserError, match=r"but the objective ce has no such setting; .*odm, ml"):
        make_objective("ce", **settings)  # type: ignore[arg-type]


def test_an_unknown_name_is_told_those_that_are_known() -> None:
    with pytest.raises(UserError, match=r"'triple' is unknown; expected one of odm, ml, ce"):
        make_objective("triple")
