"""The printed tables: how many rows, spot numbers in printed places, and the identities the numbers
must obey."""

import pytest

from knowbound.errors import UserError
from knowbound.paper.published import published
from knowbound.result import Published

TABLES = ("table1", "table2", "table3", "table4")

# Printed in percent to two decimals, FPR and error may each be off by half a unit: 0.005 + 0.5 *
# 0.005.
ROUNDING = 0.0000751
EXCEPTIONS = {
    ("table2", "ODM", "novelty seen", "Tsinghua"),
    ("table2", "ODM", "novelty seen", "Background"),
    ("table2", "ODM", "novelty seen", "Gaussian noise"),
    ("table4", "ODIN", "", "Gaussian noise"),
    ("table4", "ODM", "novelty seen", "Background"),
}
"""Printed rows whose detection error is a little off 0.5 * 0.05 + 0.5 * FPR95: so printed in the
paper."""


def find(
    table: str, method: str, variant: str, out_dist: str, in_dist: str | None = None
) -> Published:
    (row,) = (
        p
        for p in published(table)
        if (p.method, p.variant, p.out_dist) == (method, variant, out_dist)
        and in_dist in (None, p.in_dist)
    )
    return row


@pytest.mark.parametrize(
    ("table", "rows"), [("table1", 24), ("table2", 15), ("table3", 12), ("table4", 15)]
)
def test_every_cell_is_there_once_and_a_fraction(table: str, rows: int) -> None:
    printed = published(table)
    assert len(printed) == rows
    assert len({(p.in_dist, p.method, p.variant, p.out_dist) for p in printed}) == rows
    for p in printed:
        assert p.table == table
        for value in (p.in_accuracy, p.fpr95, p.detection_error, p.auroc, p.aupr_in, p.aupr_out):
            assert value is not None
            assert 0 <= value <= 1


def test_detection_error_follows_from_fpr_in_tables_2_and_4() -> None:
    odd = set()
    for table in ("table2", "table4"):
        for p in published(table):
            assert p.fpr95 is not None
            assert p.detection_error is not None
            off = abs(p.detection_error - (0.5 * 0.05 + 0.5 * p.fpr95))
            assert off < 0.0002, p
            if off > ROUNDING:
                odd.add((p.table, p.method, p.variant, p.out_dist))
    assert odd == EXCEPTIONS


def test_table1_turns_tnr_and_accuracy_over() -> None:
    row = find(
        "table1", "ODM", "", "Tiny ImageNet", "CIFAR-10"
    )  # prints TNR 17.1, detection accuracy 66.9, AUPR-in 60.3
    assert row.fpr95 == pytest.approx(0.829)
    assert row.detection_error == pytest.approx(0.331)
    assert (row.in_accuracy, row.auroc, row.aupr_in, row.aupr_out) == (0.54, 0.662, 0.603, 0.682)
    assert find("table1", "CC-AG", "", "CIFAR-10", "SVHN").in_accuracy == 0.942


def test_spot_numbers() -> None:
    row = find("table3", "ML", "", "Novelty")
    assert (row.in_accuracy, row.fpr95, row.detection_error) == (0.9954, 0.2105, 0.1303)
    assert (row.auroc, row.aupr_in, row.aupr_out) == (0.9448, 0.9402, 0.9446)
    row = find("table2", "ODM", "background seen", "Tsinghua")
    assert (row.fpr95, row.aupr_in, row.in_dist) == (0.0865, 0.9440, "Tsinghua")
    assert find("table4", "ODM", "noise seen", "Background").detection_error == 0.0299


def test_kind_seen_and_convention() -> None:
    assert {p.convention for p in published("table1")} == {"ccag"}
    assert {p.convention for t in TABLES[1:] for p in published(t)} == {"seed"}
    seen = {(p.variant, p.out_dist) for p in published("table2") if p.seen}
    assert seen == {
        ("novelty seen", "Tsinghua"),
        ("background seen", "Background"),
        ("noise seen", "Gaussian noise"),
    }
    assert {
        (p.method, p.out_dist) for p in published("table1") if p.seen and p.in_dist == "SVHN"
    } == {
        ("CC-AG", "CIFAR-10"),
        ("ODM", "CIFAR-10"),
    }
    assert {p.out_dist for t in TABLES for p in published(t) if p.kind == "novelty"} == {
        "Tsinghua",
        "Novelty",
    }


def test_no_other_table() -> None:
    with pytest.raises(UserError, match="table5"):
        published("table5")
