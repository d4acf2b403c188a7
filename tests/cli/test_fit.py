"""What ``knowbound fit`` asks for where the user asks for nothing, and that it takes every loss."""

from dataclasses import asdict
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from knowbound.cli.app import app
from knowbound.names import OBJECTIVES
from knowbound.objectives import OBJECTIVES as KINDS
from knowbound.workflows.plan import plan_fit
from knowbound.workflows.settings import Settings
from tests.samples import blobs, write_folder

CALLED = {"range": "value_range", "fit": "aspect"}
"""Settings that the command calls otherwise: it has an option ``--fit-on`` elsewhere."""
PYTHON_ONLY = {"channels", "memory_limit"}


def test_what_is_not_asked_for_is_what_python_does() -> None:
    fit = get_command(app).commands["fit"]  # type: ignore[attr-defined]
    defaults = {option.name: option.default for option in fit.params}
    for name, value in asdict(Settings()).items():
        if name not in PYTHON_ONLY:
            assert defaults[CALLED.get(name, name)] == value, name


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_loss_is_taken(
    objective: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Up to the plan: from there on it is the objective that counts, and no option."""
    if objective == "multi_similarity":
        pytest.importorskip("pytorch_metric_learning")
    write_folder(tmp_path / "known", blobs(per_class=10))
    write_folder(tmp_path / "outs", blobs(per_class=10, first=3, classes=1).without_labels())
    asked: list[object] = []

    def stop_after_planning(*given: object, **named: object) -> None:
        asked.append(plan_fit(*given, **named).parts.objective)  # type: ignore[arg-type,union-attr]
        raise KeyboardInterrupt

    monkeypatch.setattr("knowbound.workflows.plan.plan_fit", stop_after_planning)
    shown = () if objective in ("ml", "ce") else ("--outliers", str(tmp_path / "outs"))
    words = [str(tmp_path / "known"), *shown, "--objective", objective, "--backbone", "lenet"]
    CliRunner().invoke(app, ["fit", *words, "-o", str(tmp_path / "model")])
    assert [type(one) for one in asked] == [KINDS[objective]]
