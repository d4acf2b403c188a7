"""Pictures as files, and matplotlib asked for before anything expensive."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from knowbound.errors import UserError
from knowbound.report.drawing import add_key, check_can_draw, new_drawing, write_drawing

KINDS = {".png": b"\x89PNG", ".pdf": b"%PDF", ".svg": b"<?xml"}


@pytest.mark.parametrize("ending", KINDS)
def test_the_ending_says_the_kind(ending: str, tmp_path: Path) -> None:
    path = tmp_path / "deep" / f"drawing{ending.upper()}"
    write_drawing(path, new_drawing(2, 1))
    assert path.read_bytes().startswith(KINDS[ending])


def test_sizes_are_inches() -> None:
    drawing = new_drawing(3, 2, dpi=50)
    assert tuple(drawing.get_size_inches()) == (3, 2)
    assert drawing.dpi == 50


def test_a_key_names_every_colour(tmp_path: Path) -> None:
    drawing = new_drawing(3, 1, dpi=80)
    write_drawing(tmp_path / "without.png", drawing)
    add_key(drawing, [("stop", "#ff0000"), ("yield", "#0000ff")])
    write_drawing(tmp_path / "with.png", drawing)
    (key,) = drawing.legends
    assert [text.get_text() for text in key.get_texts()] == ["stop", "yield"]
    colours = set(map(tuple, np.asarray(Image.open(tmp_path / "with.png"))[..., :3].reshape(-1, 3)))
    assert {(255, 0, 0), (0, 0, 255)} <= colours
    plain = np.asarray(Image.open(tmp_path / "without.png"))[..., :3]
    assert (plain == 255).all()


def test_an_ending_of_no_picture_and_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"ends in '.docx'; expected one of .*\.png"):
        write_drawing(tmp_path / "drawing.docx", new_drawing(1, 1))
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written"):
        write_drawing(tmp_path / "file" / "drawing.png", new_drawing(1, 1))


def test_without_matplotlib_one_sentence_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    check_can_draw()
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(UserError, match=r"pip install 'knowbound\[figures\]'"):
        check_can_draw()
