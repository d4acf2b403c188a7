"""Two runs never write one folder of results."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from knowbound.cli.app import app
from knowbound.errors import UserError
from knowbound.files.lock import locked


@pytest.mark.parametrize("table", ["table1", "table2", "table3", "table4", "losses"])
def test_a_folder_of_results_has_one_run_at_a_time(table: str, tmp_path: Path) -> None:
    with locked(tmp_path):
        words = ["reproduce", table, "--data", str(tmp_path), "--results", str(tmp_path)]
        done = CliRunner().invoke(app, words)
    assert isinstance(done.exception, UserError)
    assert "is in use by another run" in str(done.exception)
