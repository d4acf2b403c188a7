"""What an audition chooses, and what it tells."""

import pytest

from knowbound.workflows.audition.audition import Audition, choose, enough
from knowbound.workflows.audition.trial import Trial


def trial(name: str, accuracy: float, novelty: float | None, trained: float = 1.0) -> Trial:
    return Trial(name, 32, "tried", accuracy, novelty, 1.0, trained)


def test_the_best_expected_mark_is_chosen() -> None:
    frozen = trial("photographs", 0.9, 0.8)
    assert frozen.mark == frozen.expected == pytest.approx(0.85)
    assert trial("photographs", 0.9, None).mark == 0.9
    half = trial("wrn", 0.8, 0.6, trained=0.2)
    assert half.expected == pytest.approx(1 - 0.3 * 0.6)
    assert choose([frozen, half])[0] == "photographs"
    assert choose([frozen, trial("wrn", 0.8, 0.72, trained=0.2)])[0] == "wrn"
    held = enough(frozen, 12)
    assert held.chosen == "photographs"
    assert "85.0%" in held.reason
    assert held.lines[0] == "Audition on 12 held-out pictures, each class in turn left out:"


def test_what_was_tried_is_told() -> None:
    held = Audition(
        "a", "Chosen: a.", (trial("a", 0.9, 0.8), trial("b", 0.5, None)), ("red",), 30, 8
    )
    assert held.lines[0] == "Audition on 30 held-out pictures and 8 of red, left out:"
    assert (
        held.lines[1].strip().startswith("a, 32 pixels, tried: accuracy 90.0%, novelty AUROC 80.0%")
    )
    assert held.lines[-1] == "Chosen: a."
    assert held.to_dict()["trials"][1]["novelty_auroc"] is None
    assert Audition("lenet", "").lines == ()
