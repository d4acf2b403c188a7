"""A place without a model: what it is instead, said the same by every command that loads one."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from knowbound.errors import UserError
from knowbound.files.lock import LOCK
from knowbound.model_folder.description import CHECKPOINT, DESCRIPTION
from knowbound.product.any_model import fingerprint, load_model
from tests.boundary.test_boundary import boundary
from tests.product.test_onnx import WITHOUT_TORCH


@pytest.mark.parametrize("load", [load_model, fingerprint])
def test_a_place_without_a_model(load: Callable[[Path], object], tmp_path: Path) -> None:
    def said(place: Path) -> str:
        with pytest.raises(UserError, match=re.escape(f"there is no model in {place} (")) as caught:
            load(place)
        return str(caught.value)

    assert "there is no such folder" in said(tmp_path / "none")
    (tmp_path / "pictures").mkdir()
    assert f"{DESCRIPTION} is missing" in said(tmp_path / "pictures")
    for mark in (LOCK, CHECKPOINT):  # a training that runs, and one that was stopped
        (tmp_path / mark).mkdir()
        (tmp_path / mark / mark).write_bytes(b"")
        assert "its training has not ended" in said(tmp_path / mark)
        assert "--resume" in said(tmp_path / mark)
    file = tmp_path / "pictures" / "a.png"
    file.write_bytes(b"")
    assert "it is a file" in said(file)
    (file.parent / DESCRIPTION).write_text("{}")
    assert said(file).endswith(f"give the folder, {file.parent}")


def test_without_torch_a_folder_is_refused_with_both_ways_out(tmp_path: Path) -> None:
    boundary().save(tmp_path / "model")
    (tmp_path / "a.png").write_bytes(b"")
    for words in (("predict", "model", "a.png"), ("serve", "model", "--port", "0")):
        ended = subprocess.run(
            [sys.executable, "-c", WITHOUT_TORCH, *words],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 2
        assert ended.stderr == (
            "Error: model is the folder of a model, which needs torch; pip install "
            "'knowbound[train]', or give the .onnx file that `knowbound export` wrote of it\n"
        )
