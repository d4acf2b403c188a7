"""docs/scale.md holds what the cost model prints, and the model computes what the page's formulas
say."""

import math
from dataclasses import replace

import pytest
from benchmarks.cost_model import BEGIN, END, PAGE, Constants, number, page_with, size, tables


def cells(text: str, name: str) -> list[str]:
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {name} |")]
    return [cell.strip() for cell in line.split("|")[2:-1]]


def test_the_page_holds_the_tables_of_the_script() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page.split(BEGIN)[1].split(END)[0].strip() == tables().strip()
    assert page_with(tables(), page) == page


def test_a_changed_constant_changes_its_cells_and_no_others() -> None:
    usual = Constants()
    slower = tables(
        replace(usual, score_rate=replace(usual.score_rate, value=usual.score_rate.value / 2))
    )
    changed = {a for a, b in zip(tables().splitlines(), slower.splitlines(), strict=True) if a != b}
    names = {line.split("|")[1].strip() for line in changed}
    assert names == {
        "`score_rate`",
        "scoring, nearest centre, core-hours",
        "scoring, hours on the cluster",
        "scoring with ODIN, hours on the cluster",
        "distances / forward pass, time",
    }


def test_cells_by_hand() -> None:
    text, c = tables(), Constants()
    assert cells(text, "scores, 8 bytes each") == ["7.6 MiB", "76 MiB", "760 MiB", "7.5 GiB"]
    assert (
        cells(text, "decoded images, each process that holds them")[3] == size(3072e9) == "2.8 TiB"
    )
    assert cells(text, "centres, C x D float32") == ["12 KiB", "1.2 MiB", "120 MiB"]
    assert cells(text, "gathering them, s")[3] == number(8e9 / 1.25e9) == "6.4"
    assert cells(text, "training, core-hours")[0] == number(
        c.passes.value * 1e6 / c.train_rate.value / 3600
    )
    assert (
        cells(text, "all-pairs loss / network's step")[3]
        == number(0.181 * 4 / (128 / 142))
        == "0.80"
    )
    seconds = (
        c.metrics_time.value * 5 * math.log(1e7) / math.log(2e6)
    )  # n log n, from 2 million to 10 million
    assert cells(text, "metrics, s")[1] == number(seconds)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.00123, "0.0012"),
        (0.999, "1.0"),
        (9.96, "10"),
        (12.3, "12"),
        (1234, "1,200"),
        (-0.5, "-0.50"),
    ],
)
def test_numbers_have_two_digits_and_no_exponent(value: float, text: str) -> None:
    assert number(value) == text
