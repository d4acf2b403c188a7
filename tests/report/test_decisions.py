"""The table of decisions against a plain loop."""

from knowbound.report.decisions import class_accuracy, decision_rows
from tests.report.samples import evidence, judged, two_outs


def test_counts_are_those_of_a_loop() -> None:
    model = evidence(*two_outs())
    rows = decision_rows(model)
    assert [(row.name, row.kind) for row in rows] == [
        ("digits", "known"),
        ("others", "novelty"),
        ("noise", "anomaly"),
    ]
    for row, judged_set in zip(rows, (model.in_set, *model.out_sets), strict=True):
        slow = {"known": 0, "novelty": 0, "anomaly": 0}
        for decision in judged_set.decisions:
            slow[str(decision)] += 1
        assert row.counts == tuple(slow.values())
        assert row.total == sum(slow.values())
        assert row.right == slow[row.kind] / row.total


def test_accuracy_with_and_without_rejection() -> None:
    model = evidence()
    judged_set = model.in_set
    pairs = list(
        zip(judged_set.labels, judged_set.judgement.nearest, judged_set.decisions, strict=True)
    )
    accepted = [(label, nearest) for label, nearest, decision in pairs if decision == "known"]
    overall, among_known = class_accuracy(model)
    assert overall == sum(label == nearest for label, nearest, _ in pairs) / len(pairs)
    assert among_known == sum(label == nearest for label, nearest in accepted) / len(accepted)
    assert overall != among_known


def test_an_empty_set_has_no_shares() -> None:
    model = evidence(inside=judged("none", None, 0))
    assert class_accuracy(model) == (None, None)
    assert decision_rows(model)[0].right is None
