"""What an evaluation found in words, counted a second time."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom

from knowbound.labels import Kind
from knowbound.report import confusion_lines, examples, summary, told_apart
from knowbound.report.summary import _kept
from tests.report.samples import evidence, two_outs


def test_the_sentences_hold_the_counts() -> None:
    novelty, anomaly = two_outs()
    one = evidence(novelty, anomaly)
    known, classes, *others = summary(one)
    accepted = np.mean(one.in_set.decisions == "known")
    assert known.startswith(f"Of 120 pictures of known classes {100 * accepted:.1f}% were accepted")
    few = binom.cdf(round(120 * accepted), 120, 0.9) < 0.025
    many = binom.sf(round(120 * accepted) - 1, 120, 0.98) < 0.025
    words = "fewer than promised" if few else "more than promised" if many else "as promised"
    assert f"were accepted, {words} (90.0% to 98.0%)" in known
    assert classes.startswith("Least accepted classes: ")
    for judged, sentence, right in zip(
        (novelty, anomaly), others, ("novelty", "anomaly"), strict=True
    ):
        counts = {name: int((judged.decisions == name).sum()) for name in ("known", right)}
        rejected = len(judged) - counts["known"]
        assert f"Of {len(judged)} pictures of {judged.name} {rejected} were rejected" in sentence
        assert f"{counts[right]} of them called" in sentence
        assert f"{counts['known']} passed for known" in sentence


@pytest.mark.parametrize(
    ("accepted", "images", "words"),
    [
        (20, 20, "as promised"),  # of 20 none may be rejected by chance
        (14, 20, "fewer than promised"),
        (1880, 2000, "as promised"),
        (1830, 2000, "fewer than promised"),
        (1990, 2000, "more than promised"),
        (0, 0, "as promised"),
    ],
)
def test_a_promise_is_broken_only_where_chance_is_no_excuse(
    accepted: int, images: int, words: str
) -> None:
    assert _kept(accepted, images, 0.93, 0.96) == words


def test_a_model_without_held_out_scores_has_no_promise_to_keep() -> None:
    shown = evidence(*two_outs())
    old = replace(shown, promise={**shown.promise, "images": 0})
    (known, *_) = summary(old)
    assert "promised" in summary(shown)[0]
    assert "promised" not in known
    assert "were accepted" in known


def test_ten_examples_take_turns_and_say_what_was_said() -> None:
    one = evidence(*two_outs())
    rows = examples(one)
    assert len(rows) == 10
    assert rows[0][0].startswith("known class")
    assert rows[1][0] == "novelty: others"
    assert rows[2] == ("anomaly: noise", str(one.out_sets[1].decisions[0]))


def test_novelty_and_anomaly_told_apart_in_words_and_in_a_table() -> None:
    novelty, anomaly = two_outs()
    model = evidence(anomaly, novelty)
    rows = [
        replace(row, kind_auroc=auroc)
        for row, auroc in zip(model.results, (0.979, None), strict=True)
    ]
    model = replace(model, results=tuple(rows))
    right = {
        judged.kind or "known": sum(said == (judged.kind or "known") for said in judged.decisions)
        for judged in (model.in_set, novelty, anomaly)
    }
    words, pairs = told_apart(model)
    assert words == (
        f"The right word was said of {100 * right['known'] / 120:.1f}% of known pictures, "
        f"{100 * right[Kind.NOVELTY] / 70:.1f}% of novelties and "
        f"{100 * right[Kind.ANOMALY] / 90:.1f}% of anomalies."
    )
    assert "picture of others and one of noise, the second looked less" in pairs
    assert "in 97.9% of all pairs" in pairs
    heading, *lines = confusion_lines(model)
    assert heading.split() == ["said", "known", "said", "novelty", "said", "anomaly"]
    slow = [
        [sum(said == word for said in judged.decisions) for word in ("known", "novelty", "anomaly")]
        for judged in (model.in_set, novelty, anomaly)
    ]
    assert [[int(n) for n in line.split()[-3:]] for line in lines] == slow
    assert [line.split()[0] for line in lines] == ["Known", "Novelties", "Anomalies"]
    assert told_apart(evidence(novelty)) == ()
    assert len(confusion_lines(evidence())) == 2
