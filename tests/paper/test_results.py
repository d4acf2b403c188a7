"""The rows kept in ``results/``: each carries the name of a definition that it can be of."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from knowbound.metrics import CONVENTIONS, FORMER
from knowbound.paper.digits.table3 import write_table3
from knowbound.paper.objects.page import write_table1
from knowbound.paper.signs.table2 import write_table2
from knowbound.paper.signs.table4 import write_table4
from knowbound.paper.two_heads import write_two_heads
from knowbound.result import Result, read_rows

RESULTS = Path(__file__).parents[2] / "results"
TABLES = ("table1", "table2", "table3", "table4")


def rows_of(table: str) -> list[Result]:
    return list(read_rows(RESULTS / f"{table}.jsonl"))


@pytest.mark.parametrize("table", TABLES)
def test_conventions_are_names_that_measure_takes(table: str) -> None:
    assert {row.convention for row in rows_of(table)} <= {*CONVENTIONS, *FORMER}


@pytest.mark.parametrize("table", TABLES)
def test_rows_of_every_threshold_have_the_nearest_tpr(table: str) -> None:
    """Detection error and FPR give the TPR they were taken at: within half an image of 95%."""
    for row in rows_of(table):
        if row.convention == "seed_unthinned":
            tpr = 1 - 2 * row.numbers.detection_error + row.numbers.fpr95
            assert abs(tpr - 0.95) * row.n_in <= 0.5 + 1e-6


WRITERS: dict[str, Callable[[Path], Path]] = {
    "table1": write_table1,
    "table2": write_table2,
    "table3": write_table3,
    "table4": write_table4,
    "two_heads": write_two_heads,
}


@pytest.mark.parametrize("page", WRITERS)
def test_a_page_is_what_its_rows_give(page: str, tmp_path: Path) -> None:
    for rows in RESULTS.glob("*.jsonl"):
        shutil.copy(rows, tmp_path)
    for picture in RESULTS.glob("table1_*.png"):
        shutil.copy(picture, tmp_path)
    written = WRITERS[page](tmp_path)
    assert written.read_text(encoding="utf-8") == (RESULTS / f"{page}.md").read_text(
        encoding="utf-8"
    )


def test_legacy_rows_of_distances_are_those_of_the_nearest_centre() -> None:
    for row in rows_of("table1"):
        if row.convention == "ccag_of_distances":
            assert row.run.detector == "NearestCentre"
