"""Rows into tables: means and deviations worked out by hand, joins that must and must not
happen."""

import math
import re

import pytest

from knowbound.report import markdown_table, terminal_table
from knowbound.report.table import HEADINGS, table_lines
from tests.report.samples import printed, result


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_markdown_of_one_run_with_the_paper_beside_it() -> None:
    lines = markdown_table([result()], [printed()], aupr_note="The sizes differ.").splitlines()
    assert cells(lines[0]) == list(HEADINGS)
    assert cells(lines[2]) == [
        "ML",
        "99.00 (paper 99.54)",
        "Novelty (novelty, unseen)",
        "3,000 / 1,000",
        "20.00 (paper 21.05)",
        "12.50 (paper 13.03)",
        "95.00 (paper 94.48)",
        "94.00 (paper 94.02)",
        "93.00",
    ]
    assert (
        lines[-1]
        == "Percent, convention exact. The paper measured in the convention seed. The sizes differ."
    )


def test_a_method_of_fewer_runs_than_others_says_so() -> None:
    rows = [*(result(seed=i) for i in range(3)), result(method="ODM")]
    assert [line.method for line in table_lines(rows)] == ["ML", "ODM [1 of 3 runs]"]
    assert [line.method for line in table_lines(rows[2:])] == ["ML", "ODM"]


def test_runs_are_averaged_with_the_sample_standard_deviation() -> None:
    values = [0.1, 0.2, 0.4]
    (line,) = table_lines([result(seed=i, fpr95=value) for i, value in enumerate(values)])
    mean = sum(values) / 3
    deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / 2)
    assert line.metrics[0].ours == f"{100 * mean:.2f} ± {100 * deviation:.2f}"
    assert line.runs == 3
    assert "over 3 runs" in markdown_table([result(seed=i) for i in range(3)])


@pytest.mark.parametrize(
    "change",
    [
        {"method": "ODM"},
        {"variant": "x"},
        {"out_dist": "SVHN"},
        {"in_dist": "SVHN"},
        {"in_dist": "MNIST 2, 6"},
    ],
)
def test_a_row_of_another_cell_gets_no_published_number(change: dict[str, str]) -> None:
    assert "paper" not in markdown_table([result(**change)], [printed()])


def test_two_published_tables_with_the_same_cell_are_told_apart_by_the_experiment() -> None:
    both = [printed(table="table2", auroc=0.11), printed(table="table4", auroc=0.22)]
    assert "(paper 22.00)" in markdown_table([result(experiment="table4")], both)
    assert "(paper" not in markdown_table([result(experiment="other")], both)


@pytest.mark.parametrize(
    "change",
    [
        {"scale": "quick"},
        {"backbone": "VGG"},
        {"variant": "v"},
        {"seen": True},
        {"seen_out": ("a",)},
    ],
)
def test_only_seeds_are_averaged(change: dict[str, object]) -> None:
    assert len(table_lines([result(), result(**{"seed": 1, **change})])) == 2


def test_only_the_asked_convention_is_shown() -> None:
    rows = [result(auroc=0.5), result(convention="seed", auroc=0.7)]
    assert [line.metrics[2].ours for line in table_lines(rows, convention="seed")] == ["70.00"]
    assert "No rows" in markdown_table(rows, convention="odin")
    assert "No rows" in markdown_table([])


def test_no_accuracy_is_a_dash_and_names_cannot_break_the_table() -> None:
    text = markdown_table([result(in_accuracy=None, out_dist="a|b\n<c>")])
    row = text.splitlines()[2]
    assert "| – |" in row
    assert "a\\|b &lt;c&gt; (novelty" in row


def test_a_wide_terminal_shows_columns_and_a_program_gets_tabs() -> None:
    rows, paper = [result(), result(out_dist="SVHN", fpr95=0.0)], [printed()]
    lines = table_lines(rows, paper)
    wide = terminal_table(rows, paper, width=250).splitlines()
    for shown, cells_of in zip(wide, (HEADINGS, *(line.cells() for line in lines)), strict=False):
        assert re.split(r"\s{2,}", shown) == [str(cell) for cell in cells_of]
    tabs = terminal_table(rows, paper).splitlines()
    assert [line.split("\t") for line in tabs[:3]] == [
        list(HEADINGS),
        *(list(line.cells()) for line in lines),
    ]
    assert "Percent, convention exact." in tabs[-1]


def test_a_narrow_terminal_cuts_no_number() -> None:
    rows = [result(), result(method="ODM", out_dist="a set of a long name")]
    text = terminal_table(rows, [printed()], width=60)
    for line in text.splitlines():
        assert len(line) <= 60 or line.startswith(("ML against", "ODM against"))
    joined = " ".join(text.split())
    for line in table_lines(rows, [printed()]):
        for heading, cell in zip(HEADINGS, line.cells(), strict=True):
            if heading not in ("Method", "Out-dist"):
                assert f"{heading} {cell}" in joined
    assert "ODM against a set of a long name (novelty, unseen)" in text


def test_names_are_shown_as_they_are() -> None:
    assert "[red]x" in terminal_table([result(out_dist="[red]x")], width=250)
