"""Rows on disk: flat, whole, and readable whichever version wrote them."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from knowbound.result import KEYS, METRICS, Result, append_rows, read_rows
from tests.report.samples import printed, result

RESULTS = sorted((Path(__file__).parents[1] / "results").glob("*.jsonl"))
LATER = {"decisions": {"known": 1, "novelty": 2, "anomaly": 3}, "kind_auroc": 0.75}


def test_a_line_is_flat_and_in_order() -> None:
    row = result(tie_share=0.25, seen_out=("a", "b"))
    values = json.loads(row.to_json())
    assert tuple(values) == KEYS
    assert [values[name] for name in METRICS] == [0.2, 0.125, 0.95, 0.94, 0.93]
    assert values["seen_out"] == ["a", "b"]
    assert values["provenance"] == {"commit": "abc", "tie_share": 0.25}


@pytest.mark.parametrize("changes", [{}, LATER, {"tie_share": 0.5}, {"in_accuracy": None}])
def test_a_row_comes_back_equal(changes: dict[str, object]) -> None:
    row = result(**changes)
    assert Result.from_json(row.to_json()) == row
    assert Result.from_json(row.to_json()).to_json() == row.to_json()


def test_a_number_that_is_none_is_null_and_comes_back_as_none() -> None:
    row = result()
    lacking = replace(row, numbers=replace(row.numbers, fpr95=math.nan))
    values = json.loads(lacking.to_json(), parse_constant=lambda word: pytest.fail(word))
    assert values["fpr95"] is None
    assert math.isnan(Result.from_json(lacking.to_json()).numbers.fpr95)


def test_separators_within_a_name_do_not_split_a_row(tmp_path: Path) -> None:
    row = result(out_dist="line\u2028and\x85paragraph")
    append_rows(tmp_path / "rows.jsonl", [row, row])
    assert list(read_rows(tmp_path / "rows.jsonl")) == [row, row]


def test_newer_keys_may_be_missing_and_are_written_only_where_they_are_known() -> None:
    assert set(json.loads(result().to_json())) == set(KEYS)
    assert set(json.loads(result(**LATER).to_json())) == {*KEYS, *LATER}
    old = Result.from_json(result().to_json())
    assert (old.decisions, old.kind_auroc, old.tie_share) == (None, None, None)


def test_missing_and_unknown_keys_are_named() -> None:
    values = json.loads(result().to_json())
    del values["auroc"]
    with pytest.raises(ValueError, match=r"lacks the keys \['auroc'\].*unknown keys \['new'\]"):
        Result.from_json(json.dumps(values | {"new": 1}))


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.name)
def test_every_row_that_was_ever_published_is_read_and_written_again_alike(path: Path) -> None:
    rows = list(read_rows(path))
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(rows) == len(lines) > 0
    for row, line in zip(rows, lines, strict=True):
        assert json.loads(row.to_json()) == json.loads(line)


def test_a_half_written_line_is_left_out_and_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "rows.jsonl"
    first, second = result(), result(seed=1)
    assert list(read_rows(path)) == []
    append_rows(path, [first])
    with path.open("a") as file:
        file.write(second.to_json()[:40])
    assert list(read_rows(path)) == [first]
    append_rows(path, [second])
    assert list(read_rows(path)) == [first, second]
    assert path.read_text().count("\n") == 2


def test_a_file_that_a_kill_left_with_half_a_line_alone_starts_again(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(result().to_json()[:40])
    append_rows(path, [result()])
    assert list(read_rows(path)) == [result()]


@pytest.mark.parametrize("name", ["in_dist", "method", "variant", "out_dist"])
def test_a_printed_cell_matches_its_row_alone(name: str) -> None:
    assert printed().matches(result())
    assert not printed(**{name: "another"}).matches(result())
    assert printed().matches(replace(result(), convention="seed"))
