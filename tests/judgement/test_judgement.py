"""The record of what was said, in arrays and in words."""

from dataclasses import fields

import numpy as np
import pytest

from knowbound.judgement import DECISIONS, Judgement, Verdict, nothing_judged, verdicts
from knowbound.labels import Decision

NAMES = ("stop", "yield")


def judgement(count: int) -> Judgement[np.ndarray]:
    rng = np.random.default_rng(0)
    return Judgement(
        embedding=rng.normal(size=(count, 4)).astype(np.float32),
        score=rng.random(count),
        p_value=rng.random(count),
        domain_score=rng.normal(size=count),
        nearest=rng.integers(0, 2, count),
        decision=rng.integers(0, 3, count),
    )


def test_each_verdict_is_a_row_of_the_record() -> None:
    said = judgement(30)
    thresholds = np.linspace(0.1, 0.9, 30)
    found = verdicts(said, thresholds.tolist(), NAMES)
    assert len(found) == 30
    assert {verdict.decision for verdict in found} == set(Decision)
    for i, verdict in enumerate(found):
        assert verdict == Verdict(
            decision=Decision(["known", "novelty", "anomaly"][said.decision[i]]),
            class_name=NAMES[said.nearest[i]] if said.decision[i] == 0 else None,
            nearest_class=NAMES[said.nearest[i]],
            score=said.score[i],
            threshold=thresholds[i],
            p_value=said.p_value[i],
            domain_score=said.domain_score[i],
        )


def test_decisions_are_the_words_of_labels_in_their_order() -> None:
    assert tuple(Decision) == DECISIONS


def test_nothing_judged_gives_no_verdict_and_a_threshold_for_each_is_needed() -> None:
    assert verdicts(judgement(0), [], NAMES) == []
    with pytest.raises(ValueError, match="shorter|longer"):
        verdicts(judgement(3), [0.5, 0.5], NAMES)


def test_numbers_are_plain_python_numbers() -> None:
    (verdict,) = verdicts(judgement(1), [0.5], NAMES)
    numbers = [f.name for f in fields(Verdict) if f.type is float]
    assert numbers == ["score", "threshold", "p_value", "domain_score"]
    assert all(type(getattr(verdict, name)) is float for name in numbers)


def test_of_no_image_there_is_a_judgement_with_every_column() -> None:
    nothing = nothing_judged()
    assert [column.shape for column in nothing] == [(0, 0), (0,), (0,), (0,), (0,), (0,)]
    assert [str(column.dtype) for column in nothing] == [
        "float32",
        "float64",
        "float64",
        "float64",
        "int64",
        "int64",
    ]
    assert verdicts(nothing, [], ["a"]) == []
