"""Other acceptances counted image by image, and what they cost."""

import re
from dataclasses import replace

import numpy as np
import pytest

from knowbound.errors import UserError
from knowbound.evidence import Evidence
from knowbound.report.decisions import decision_rows
from knowbound.report.what_if import (
    cheapest,
    check_costs,
    cost_of,
    cost_sentence,
    three_way,
    what_if,
)
from tests.report.samples import evidence, rejudged, two_outs

COSTS = {
    "known-as-novelty": 1.0,
    "known-as-anomaly": 2.0,
    "novelty-as-known": 10.0,
    "wrong-class": 5,
}


def test_every_setting_counted_image_by_image() -> None:
    model = evidence(*two_outs())
    found = what_if(model)
    assert found is not None
    assert [s.acceptance for s in found.settings] == sorted({s.acceptance for s in found.settings})
    assert max(s.acceptance for s in found.settings) <= 120 / 121
    for setting in found.settings:
        total = 0.0
        for judged, counts in zip((model.in_set, *model.out_sets), setting.counts, strict=True):
            slow = {"known": 0, "novelty": 0, "anomaly": 0}
            for i in range(len(judged)):
                said = "known"
                if judged.judgement.p_value[i] <= 1 - setting.acceptance:
                    said = "anomaly" if judged.judgement.domain_score[i] > 0 else "novelty"
                slow[said] += 1
                total += COSTS.get(f"{judged.kind or 'known'}-as-{said}", 0)
                if said == "known" and judged.kind is None:
                    total += 5 * (judged.labels[i] != judged.judgement.nearest[i])
            assert counts == tuple(slow.values())
        images = sum(map(sum, setting.counts))
        assert cost_of(model, setting, COSTS) == pytest.approx(total / images)


def test_the_models_own_setting_is_what_it_decided() -> None:
    model = evidence(*two_outs())
    found = what_if(model)
    assert found is not None
    assert found.now.acceptance == pytest.approx(0.95)
    assert list(found.now.counts) == [row.counts for row in decision_rows(model)]


def test_the_cheapest_is_found_by_trying_all() -> None:
    model = evidence(*two_outs())
    found = what_if(model)
    assert found is not None
    each = [cost_of(model, setting, COSTS) for setting in found.settings]
    best = cheapest(model, found, COSTS)
    assert each[best] == min(each) < each[found.own]
    said = cost_sentence(model, COSTS)
    assert f"{found.settings[best].acceptance:.2%}" in said
    assert f"{1000 * min(each):,.4g}" in said
    never = cost_sentence(model, {"known-as-known": 1.0})
    assert "acceptance, 50.00%, the lowest tried." in never
    assert cheapest(model, found, {}) == found.own
    assert "no other acceptance costs less" in cost_sentence(model, {})


def test_sets_of_a_kind_are_added_up() -> None:
    novelty, anomaly = two_outs()
    model = evidence(novelty, novelty, anomaly)
    counts = tuple(row.counts for row in decision_rows(model))
    table = three_way(model, counts)
    assert list(table) == ["known", "novelty", "anomaly"]
    assert table["novelty"] == [2 * count for count in counts[1]]
    assert table["known"] == list(counts[0])


def test_of_several_thresholds_the_smallest_pool_bounds_the_acceptance() -> None:
    model = evidence(*two_outs())
    promise = {**model.promise, "groups": 300, "smallest_pool": 30, "level": 0.05}
    found = what_if(_replaced(model, promise))
    assert found is not None
    assert max(setting.acceptance for setting in found.settings) <= 30 / 31 + 1e-9


def test_large_costs_keep_their_digits() -> None:
    costs = {"novelty-as-known": 5000.0, "known-as-novelty": 3000.0, "known-as-anomaly": 3000.0}
    amounts = re.findall(r"cost ([\d,.e+]+) as", cost_sentence(evidence(*two_outs()), costs))
    assert amounts
    assert all("e" not in amount for amount in amounts)


def test_where_p_values_cannot_tell() -> None:
    model = evidence(*two_outs())
    for promise in ({}, {"level": None}, {"level": 0.05, "groups": 0}):
        assert what_if(_replaced(model, promise)) is None
    assert "cannot be told" in cost_sentence(_replaced(model, {}), COSTS)
    strange = rejudged(model.in_set, score=np.full(120, np.nan))
    found = what_if(evidence(inside=strange))
    assert found is not None
    assert found.now.counts[0][0] == 0  # a score that is no number is not known


@pytest.mark.parametrize("costs", [{"novelty-as-dog": 1.0}, {"wrong-class": -1.0}])
def test_costs_that_cannot_be(costs: dict[str, float]) -> None:
    with pytest.raises(UserError, match="expected"):
        check_costs(costs)


def _replaced(model: Evidence, promise: dict[str, object]) -> Evidence:
    return replace(model, promise={"range": [0.9, 0.98], "images": 120, **promise})
