"""The printed tables, held against their own arithmetic and against cells typed a second time."""

import pytest

from knowbound.errors import UserError
from knowbound.paper.published import published
from knowbound.result import Published

TABLES = ("table1", "table2", "table3", "table4")
METRICS = ("fpr95", "detection_error", "auroc", "aupr_in", "aupr_out")

# (table, method, variant, out-dist) where the printed detection error is not 2.5 + FPR / 2 within its rounding.
NOT_AT_95_PERCENT = {
    ("table2", "ODM", "novelty seen", "Background"),
    ("table3", "CE", "", "SVHN"),
    ("table4", "ODIN", "", "Gaussian noise"),
    ("table4", "ODM", "novelty seen", "Background"),
    *(("table3", method, "", name) for method in ("ML", "ODM") for name in ("Gaussian noise", "SVHN", "CIFAR-10")),
    ("table3", "ODM", "", "Novelty"),
}


def percents(row: Published) -> list[float]:
    return [round(100 * getattr(row, metric), 2) for metric in METRICS]


def cell(table: str, **wanted: str) -> Published:
    (found,) = [row for row in published(table) if all(getattr(row, key) == value for key, value in wanted.items())]
    return found


@pytest.mark.parametrize(("table", "rows"), [("table1", 24), ("table2", 15), ("table3", 12), ("table4", 15)])
def test_every_row_once(table: str, rows: int) -> None:
    cells = {(row.in_dist, row.method, row.variant, row.out_dist) for row in published(table)}
    assert len(cells) == len(published(table)) == rows
    assert {row.table for row in published(table)} == {table}
    assert {row.convention for row in published(table)} == {"ccag" if table == "table1" else "seed"}


@pytest.mark.parametrize("table", TABLES)
def test_all_are_fractions(table: str) -> None:
    for row in published(table):
        for name in ("in_accuracy", *METRICS):
            assert 0 <= getattr(row, name) <= 1, (row, name)
        assert row.in_accuracy is not None
        assert row.in_accuracy >= 0.5  # the lowest of all is 54.0


def test_the_detection_error_is_the_one_at_95_percent_but_for_the_listed_cells() -> None:
    off = set()
    for table in TABLES[1:]:
        for row in published(table):
            assert row.fpr95 is not None
            assert row.detection_error is not None
            if abs(100 * row.detection_error - (2.5 + 50 * row.fpr95)) > 0.0101:  # both were rounded to 0.01
                off.add((table, row.method, row.variant, row.out_dist))
    assert off == NOT_AT_95_PERCENT


# Column sums over all rows of a table, added up from the paper's text: FPR or TNR, detection, AUROC, AUPR-in, AUPR-out.
SUMS = {
    "table1": (1304.7, 1931.1, 1660.7, 1857.8, 1985.9),
    "table2": (57.38, 66.19, 1483.31, 1468.01, 1491.04),
    "table3": (58.77, 53.54, 1178.67, 1177.78, 1175.44),
    "table4": (111.43, 93.26, 1465.40, 1464.65, 1460.66),
}


@pytest.mark.parametrize("table", TABLES)
def test_columns_add_up(table: str) -> None:
    rows = [percents(row) for row in published(table)]
    if table == "table1":  # printed as TNR and detection accuracy
        rows = [[100 - fpr, 100 - error, *areas] for fpr, error, *areas in rows]
    assert tuple(round(sum(column), 2) for column in zip(*rows, strict=True)) == SUMS[table]


def test_single_cells() -> None:
    assert percents(cell("table3", method="ML", out_dist="Novelty")) == [21.05, 13.03, 94.48, 94.02, 94.46]
    assert percents(cell("table2", method="ODIN", out_dist="Background")) == [22.42, 13.71, 96.43, 92.13, 98.48]
    assert percents(cell("table4", method="ODM", variant="noise seen", out_dist="Tsinghua")) == [20.87, 12.93, 93.65, 94.01, 92.33]
    odin = cell("table1", in_dist="CIFAR-10", method="ODIN", out_dist="Gaussian noise")
    assert percents(odin) == [97.2, 50.0, 10.2, 48.1, 39.9]  # TNR 2.8, accuracy 50.0
    odm = cell("table1", in_dist="SVHN", method="ODM", out_dist="Tiny ImageNet")
    assert percents(odm) == [1.0, 0.9, 99.0, 96.5, 99.8]
    accuracies = {(row.in_dist, row.method): row.in_accuracy for row in published("table1")}
    assert accuracies == {
        ("SVHN", "ODIN"): 0.938, ("SVHN", "CC-AG"): 0.942, ("SVHN", "ODM"): 0.687,
        ("CIFAR-10", "ODIN"): 0.801, ("CIFAR-10", "CC-AG"): 0.806, ("CIFAR-10", "ODM"): 0.54,
    }  # fmt: skip


def test_what_was_seen() -> None:
    for table in ("table2", "table4"):
        seen = {(row.variant, row.out_dist) for row in published(table) if row.seen}
        assert seen == {("novelty seen", "Tsinghua"), ("background seen", "Background"), ("noise seen", "Gaussian noise")}
        assert {row.variant for row in published(table) if row.method != "ODM"} == {""}
    assert {(row.method, row.out_dist) for row in published("table3") if row.seen} == {("ODM", "Novelty")}
    seen_in_1 = {(row.in_dist, row.method, row.out_dist) for row in published("table1") if row.seen}
    assert seen_in_1 == {(i, m, o) for i, o in (("SVHN", "CIFAR-10"), ("CIFAR-10", "SVHN")) for m in ("CC-AG", "ODM")}


def test_kinds() -> None:
    novelties = {row.out_dist for table in TABLES for row in published(table) if row.kind == "novelty"}
    anomalies = {row.out_dist for table in TABLES for row in published(table) if row.kind == "anomaly"}
    assert novelties == {"Novelty", "Tsinghua"}
    assert anomalies == {"Gaussian noise", "Background", "SVHN", "CIFAR-10", "Tiny ImageNet", "LSUN"}


def test_no_such_table() -> None:
    with pytest.raises(UserError, match="table5"):
        published("table5")
