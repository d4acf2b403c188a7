"""What an evaluation found in words, counted a second time."""

import numpy as np

from knowbound.report import examples, summary
from tests.report.samples import evidence, two_outs


def test_the_sentences_hold_the_counts() -> None:
    novelty, anomaly = two_outs()
    one = evidence(novelty, anomaly)
    known, classes, *others = summary(one)
    accepted = np.mean(one.in_set.decisions == "known")
    assert known.startswith(f"Of 120 pictures of known classes {100 * accepted:.1f}% were accepted")
    assert ("not as promised" in known) == (not 0.9 <= accepted <= 0.98)
    assert classes.startswith("Least accepted classes: ")
    for judged, sentence, right in zip(
        (novelty, anomaly), others, ("novelty", "anomaly"), strict=True
    ):
        counts = {name: int((judged.decisions == name).sum()) for name in ("known", right)}
        rejected = len(judged) - counts["known"]
        assert f"Of {len(judged)} pictures of {judged.name} {rejected} were rejected" in sentence
        assert f"{counts[right]} of them called" in sentence
        assert f"{counts['known']} passed for known" in sentence


def test_ten_examples_take_turns_and_say_what_was_said() -> None:
    one = evidence(*two_outs())
    rows = examples(one)
    assert len(rows) == 10
    assert rows[0][0].startswith("known class")
    assert rows[1][0] == "novelty: others"
    assert rows[2] == ("anomaly: noise", str(one.out_sets[1].decisions[0]))
