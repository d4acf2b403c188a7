"""Frames are decoded only when asked for, from a file or from bytes."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from knowbound.data.pictures.picture_files import UnreadableImageError
from knowbound.data.signs.frames import Frame, camvid_frames
from knowbound.errors import UserError


def jpeg(shade: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (48, 36), (shade, shade, shade)).save(buffer, "JPEG")
    return buffer.getvalue()


def test_a_zip_file_and_its_folder_give_the_same_frames(tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    with zipfile.ZipFile(tmp_path / "frames.zip", "w") as archive:
        for shade, name in enumerate(("0002.jpg", "0001.JPG", "readme.txt", ".hidden.jpg")):
            (folder / name).write_bytes(jpeg(100 * shade))
            archive.writestr(name, jpeg(100 * shade))
    from_zip, from_folder = camvid_frames(tmp_path / "frames.zip"), camvid_frames(folder)
    assert [f.name for f in from_zip] == [f.name for f in from_folder] == ["0001", "0002"]
    for one, other, shade in zip(from_zip, from_folder, (100, 0), strict=True):
        assert one.boxes.shape == (0, 4)
        np.testing.assert_array_equal(np.asarray(one.picture()), np.asarray(other.picture()))
        assert abs(np.asarray(one.picture()).astype(int) - shade).max() <= 1


def test_an_unreadable_frame_says_so_only_when_decoded() -> None:
    frame = Frame("broken", jpeg(0)[:-200])
    with pytest.raises(UnreadableImageError, match="^truncated: "):
        frame.picture()


def test_no_frame_is_an_error_that_names_the_path(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere"):
        camvid_frames(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"no \.jpg or \.png"):
        camvid_frames(tmp_path)
