"""What needs a picture asks for matplotlib before it reads or trains anything."""

import sys
from pathlib import Path

import pytest

from knowbound.errors import UserError
from knowbound.paper.digits.table3 import figure1_evidence
from knowbound.paper.objects.scale import CPU
from knowbound.paper.objects.table1 import run_in_dist
from knowbound.paper.signs.figure3 import figure3_evidence
from tests.paper.objects.test_table1 import toy_pictures


@pytest.fixture(autouse=True)
def no_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)


def test_figure_1(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"knowbound\[figures\]"):
        figure1_evidence(tmp_path / "no data")


def test_figure_3(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"knowbound\[figures\]"):
        figure3_evidence(tmp_path / "no data", tmp_path)


def test_the_sheets_of_table_1(tmp_path: Path) -> None:
    def fail(*words: object) -> None:
        pytest.fail(f"trained: {words}")

    with pytest.raises(UserError, match=r"knowbound\[figures\]"):
        run_in_dist(toy_pictures(), "SVHN", CPU, tmp_path, 0, fail)
    assert not list(tmp_path.iterdir())
