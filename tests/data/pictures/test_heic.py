"""HEIC pictures are read where their reader is installed, and are told what to do elsewhere."""

import builtins
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from knowbound.data.pictures.folder import read_folder
from knowbound.data.pictures.picture_files import UnreadableImageError, open_picture, read_files
from knowbound.data.preprocessing import Preprocessing

HEADER = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200)


def test_without_its_reader_one_sentence_says_what_to_install_or_convert(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    importing = builtins.__import__

    def refuse(name: str, *args: object, **options: object) -> object:
        if name == "pillow_heif":
            raise ImportError(name)
        return importing(name, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", refuse)
    (tmp_path / "IMG_0001.HEIC").write_bytes(HEADER)
    with pytest.raises(UnreadableImageError) as caught:
        open_picture(tmp_path / "IMG_0001.HEIC")
    assert str(caught.value) == (
        "a HEIC picture, as iPhones take them; pip install 'knowbound[heic]' to read it, or "
        "convert it to JPEG"
    )
    Image.new("L", (4, 4)).save(tmp_path / "b.png")
    read = read_folder(tmp_path, Preprocessing(4, 4, 1), classes=False)
    assert len(read.source) == 1
    assert "HEIC" in read.problems[0].reason


def test_with_its_reader_the_picture_is_read(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    rows, columns = np.mgrid[0:64, 0:48]
    array = np.dstack([rows * 4, columns * 5, (rows + columns) * 2]).astype(np.uint8)
    stream = io.BytesIO()
    heif.from_pillow(Image.fromarray(array)).save(stream, quality=95)
    (tmp_path / "a.heic").write_bytes(stream.getvalue())
    (tmp_path / "cut.heic").write_bytes(stream.getvalue()[:300])
    good, cut = read_files([tmp_path / "a.heic", tmp_path / "cut.heic"], Preprocessing(64, 48, 3))
    assert good[2] == ""
    assert good[1] is not None
    assert np.abs(good[1].transpose(1, 2, 0).astype(int) - array).mean() < 4
    assert cut[1] is None
