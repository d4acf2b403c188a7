"""What the tests of the readers share: the folder of real data, and a web server on this
machine."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from knowbound.data.sets import download
from tests.data.sets.file_server import FileServer


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of the real data sets: ``KNOWBOUND_DATA``, else ``shared/data`` beside the
    repository."""
    folder = Path(os.environ.get("KNOWBOUND_DATA") or Path(__file__).parents[3] / "shared" / "data")
    if not folder.is_dir():
        pytest.skip("the real data sets are absent; name their folder in KNOWBOUND_DATA")
    return folder


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    """A running file server; no proxy stands between, and no time is lost between two attempts."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(download, "WAIT", 0.0)
    files = FileServer()
    running = files.start()
    yield files
    running.shutdown()
    running.server_close()
