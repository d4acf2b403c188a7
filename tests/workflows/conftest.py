"""Photographs that the tests of a network's choice share."""

from pathlib import Path

import pytest

from tests.workflows.photographs import write_photographs


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight pictures of each of four classes; no test changes them."""
    return write_photographs(tmp_path_factory.mktemp("photographs"), 8)


@pytest.fixture
def shared_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """One cache of features for all tests that ask for it, and few synthetic anomalies."""
    monkeypatch.setenv("KNOWBOUND_CACHE", str(tmp_path_factory.getbasetemp() / "audition_cache"))
    monkeypatch.setattr("knowbound.building.frozen.ANOMALIES", 24)
