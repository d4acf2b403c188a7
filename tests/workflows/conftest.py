"""Photographs that the tests of a network's choice share."""

from pathlib import Path

import pytest

from tests.workflows.photographs import write_photographs


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight pictures of each of four classes; no test changes them."""
    return write_photographs(tmp_path_factory.mktemp("photographs"), 8)
