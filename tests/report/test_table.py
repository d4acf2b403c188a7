"""Tables hold the mean and the spread over runs, and set the paper's number beside exactly its own counterpart."""

import io
import statistics
from dataclasses import replace

import pytest
from rich.console import Console

from knowbound.report.table import HEADINGS, markdown_table, table_lines, terminal_table
from knowbound.result import Published, Result

ROW = Result(
    experiment="table3", scale="cpu", method="ML", variant="", backbone="LeNet", in_dist="MNIST 2, 6, 7", split="s", seed=0,
    seen_out=(), out_dist="Novelty", kind="novelty", seen=False, detector="NearestCentre", convention="exact", n_in=3018,
    n_out=3036, in_accuracy=0.9954, fpr95=0.21, detection_error=0.13, auroc=0.9448, aupr_in=0.9402, aupr_out=0.9446,
    train_seconds=1.0, train_images=10,
)  # fmt: skip
PAPER = Published(
    "table3", "MNIST 2, 6, 7", "ML", "", "Novelty", "novelty", False, "seed", 0.9912, 0.3012, 0.1512, 0.8812, 0.8712, 0.8612
)
PAPER_NUMBERS = ("99.12", "30.12", "15.12", "88.12", "87.12", "86.12")


def cells(text: str) -> list[list[str]]:
    """The body of a Markdown table."""
    table = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table[2:]]


def test_one_run_is_printed_in_percent_with_two_decimals() -> None:
    text = markdown_table([ROW])
    assert text.splitlines()[0] == "| " + " | ".join(HEADINGS) + " |"
    assert cells(text) == [
        ["ML", "99.54", "Novelty (novelty, unseen)", "3,018 / 3,036", "21.00", "13.00", "94.48", "94.02", "94.46"]
    ]


def test_several_seeds_become_mean_and_sample_deviation() -> None:
    values = (0.91, 0.95, 0.96)
    rows = [replace(ROW, seed=seed, auroc=value, n_out=3000 + seed) for seed, value in enumerate(values)]
    (line,) = table_lines(rows)
    mean = sum(values) / 3
    spread = (sum((v - mean) ** 2 for v in values) / 2) ** 0.5
    assert line.metrics[2].ours == f"{100 * mean:.2f} ± {100 * spread:.2f}"
    assert spread == pytest.approx(statistics.stdev(values))
    assert line.runs == 3
    assert line.counts == "3,018 / 3,000–3,002"
    assert "3 runs" in markdown_table(rows)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("method", "ODM"), ("variant", "linear"), ("backbone", "VGG"), ("in_dist", "SVHN"), ("scale", "paper"),
        ("out_dist", "SVHN"), ("detector", "ODIN"), ("experiment", "mine"), ("seen_out", ("a",)), ("kind", "anomaly"),
        ("seen", True),
    ],
)  # fmt: skip
def test_what_is_not_the_same_cell_is_not_averaged(field: str, value: object) -> None:
    assert [line.runs for line in table_lines([ROW, replace(ROW, **{field: value})])] == [1, 1]  # type: ignore[arg-type]


def test_only_the_convention_asked_for() -> None:
    rows = [ROW, replace(ROW, convention="seed", fpr95=0.5)]
    assert [line.metrics[0].ours for line in table_lines(rows)] == ["21.00"]
    assert [line.metrics[0].ours for line in table_lines(rows, convention="seed")] == ["50.00"]
    assert "No rows of the convention ccag" in markdown_table(rows, convention="ccag")


def test_the_counterpart_stands_beside_ours() -> None:
    (row,) = cells(markdown_table([ROW], [PAPER]))
    for cell, number in zip([row[1], *row[4:]], PAPER_NUMBERS, strict=True):
        assert cell.endswith(f"(paper {number})")
    assert "seed" in markdown_table([ROW], [PAPER]).splitlines()[-1]


@pytest.mark.parametrize("field", ["in_dist", "method", "variant", "out_dist"])
def test_another_cell_of_the_paper_does_not(field: str) -> None:
    text = markdown_table([ROW], [replace(PAPER, **{field: "other"})])  # type: ignore[arg-type]
    assert "paper" not in text
    assert not any(number in text for number in PAPER_NUMBERS)


def test_of_two_tables_with_the_same_cell_the_one_of_our_experiment() -> None:
    other = replace(PAPER, table="table4", fpr95=0.7777)
    assert table_lines([ROW], [other, PAPER])[0].metrics[0].paper == "30.12"
    assert table_lines([replace(ROW, experiment="table4")], [other, PAPER])[0].metrics[0].paper == "77.77"
    assert table_lines([replace(ROW, experiment="mine")], [other, PAPER])[0].metrics[0].paper == ""


def test_what_the_paper_or_we_did_not_measure_is_left_open() -> None:
    (line,) = table_lines([replace(ROW, in_accuracy=None)], [replace(PAPER, auroc=None)])
    assert line.accuracy.ours == "–"
    assert line.metrics[2].paper == ""
    assert line.metrics[0].paper == "30.12"


def test_a_number_a_convention_does_not_have_is_a_dash() -> None:
    (line,) = table_lines([replace(ROW, fpr95=float("nan"))])
    assert line.metrics[0].ours == "–"


def test_names_cannot_break_the_table() -> None:
    (row,) = cells(markdown_table([replace(ROW, out_dist="a | b\nc <i>")]))
    assert len(row) == len(HEADINGS)
    assert row[2] == "a \\| b c &lt;i&gt; (novelty, unseen)"


def test_the_footnote_is_printed() -> None:
    assert "Our noise set is smaller." in markdown_table([ROW], [PAPER], aupr_note="Our noise set is smaller.")


def test_the_terminal_shows_the_same() -> None:
    console = Console(file=io.StringIO(), width=200)
    console.print(terminal_table([replace(ROW, out_dist="[red]x")], [replace(PAPER, out_dist="[red]x")]))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    for expected in ("[red]x", "99.54", "21.00", "13.00", "94.48", "94.02", "94.46", *PAPER_NUMBERS):
        assert expected in text
