"""``knowbound cache``: what is kept is counted, and only that is removed."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from knowbound.cli import app
from knowbound.data.feature_cache import FeatureCache


def said(*words: str) -> str:
    done = CliRunner().invoke(app, ["cache", *words])
    assert done.exit_code == 0, done.output
    return " ".join(done.output.split())


def test_the_cache_is_shown_and_emptied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KNOWBOUND_CACHE", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    assert "0.0 MB of features of 0 networks and 0 trials" in said()
    FeatureCache().features_of(
        "lite-96", [bytes([k]) * 32 for k in range(7)], lambda some: np.ones((len(some), 3), "f4")
    )
    (tmp_path / "auditions").mkdir()
    (tmp_path / "auditions" / "a.json").write_text(json.dumps({}))
    (tmp_path / "mine.txt").write_text("mine")
    shown = said()
    assert "7 pictures lite-96" in shown
    assert "of features of 1 network and 1 trial of auditions" in shown
    assert "MB removed" in said("--empty")
    assert "0 networks and 0 trials" in said()
    assert (tmp_path / "mine.txt").read_text() == "mine"
