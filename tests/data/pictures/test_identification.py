"""A file that gives no picture says why, in one sentence."""

import os
import re
from pathlib import Path

import pytest
from PIL import Image

from tests.data.pictures.test_folder import RGB
from tests.data.pictures.test_picture_files import reason


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "^empty: the file has 0 bytes$"),
        (b"plain text, nothing else, longer than sixteen bytes", "^not a picture"),
        (b"\x89PNG\r\n\x1a\n" + bytes(4), "^begins as a PNG, but its header is broken or cut off$"),
        (
            b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n",
            "^not a picture",
        ),  # and Ghostscript never runs
    ],
)
def test_reasons(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "file.png").write_bytes(content)
    assert re.search(words, reason(tmp_path / "file.png"))


def test_no_permission_and_things_that_are_no_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "pipe" in reason(tmp_path / "pipe")  # opening it would wait for ever
    Image.fromarray(RGB).save(tmp_path / "a.png")

    def refuse(self: Path, mode: str) -> None:  # chmod would not stop root
        raise PermissionError(13, "denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert reason(tmp_path / "a.png") == "no permission to read it"
