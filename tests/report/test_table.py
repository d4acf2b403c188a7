"""Rows into tables: means and deviations worked out by hand, joins that must and must not
happen."""

import io
import math

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


def test_terminal_table_holds_the_same() -> None:
    from rich.console import Console

    console = Console(width=220, record=True, file=io.StringIO())
    console.print(
        terminal_table([result(out_dist="Novelty", method="ML")], [printed()], title="[b]T[/b]")
    )
    text = console.export_text()
    for part in (*HEADINGS, "95.00", "(paper 94.48)", "3,000 / 1,000", "Percent, convention exact"):
        assert part in text


def test_a_name_in_brackets_is_no_markup() -> None:
    table = terminal_table([result(out_dist="[red]x")])
    assert "[red]x" in str(next(iter(table.columns[2].cells)))
