"""From a name to an objective, or to a sentence that says why not."""

import pytest

from knowbound.errors import UserError
from knowbound.objectives import (
    OBJECTIVES,
    ConfidenceLoss,
    Contrastive,
    CrossEntropy,
    Ranking,
    TwoHeads,
)
from knowbound.objectives.batches import BalancedBatches
from knowbound.objectives.choice import make_objective, with_batches


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
    assert make_objective("ranking", margin=0.5, outs=True) == Ranking(margin=0.5)
    two = make_objective("two_heads", margin=4.0, dim=5)
    assert two == TwoHeads(metric=Contrastive(margin=4.0, dim=5))


@pytest.mark.parametrize("settings", [{"margin": 10.0}, {"dim": 5}, {"margin": 1.0, "dim": 5}])
def test_a_setting_that_an_objective_lacks_is_refused(settings: dict[str, float]) -> None:
    with pytest.raises(UserError, match=r"but the objective ce has no such setting; .*odm, ml"):
        make_objective("ce", **settings)  # type: ignore[arg-type]


def test_an_unknown_name_is_told_those_that_are_known() -> None:
    with pytest.raises(UserError, match=r"'triple' is unknown; expected one of odm, ml, ce"):
        make_objective("triple")


def test_a_setting_is_refused_with_the_objectives_that_have_it() -> None:
    with pytest.raises(UserError, match="a margin was given, but the objective triplet") as error:
        make_objective("triplet", margin=1.0)
    assert "ranking" in str(error.value)
    assert "histogram" not in str(error.value)


def test_batches_of_a_recipe_go_where_balanced_batches_are_taken() -> None:
    batches = BalancedBatches(images=96, outs=32)
    wanted = Contrastive(rule=batches, same_share=0.25)
    assert with_batches(Contrastive(), batches, 0.25) == wanted
    assert with_batches(Ranking(), batches, 0.25) == Ranking(rule=batches)
    assert with_batches(CrossEntropy(), batches, 0.25) == CrossEntropy()
    two = with_batches(TwoHeads(), batches, 0.25)
    assert two == TwoHeads(rule=batches, metric=Contrastive(same_share=0.25))
