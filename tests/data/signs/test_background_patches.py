"""Background patches: central, without a sign, seeded."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from knowbound.data.preprocessing import Preprocessing
from knowbound.data.signs.background_patches import background_patches
from knowbound.data.signs.frames import Frame
from knowbound.errors import UserError
from knowbound.labels import OUT

SIGN, MARGIN, GROUND = (255, 0, 0), (0, 0, 255), (90, 90, 90)


def painted(
    name: str, boxes: list[tuple[int, int, int, int]], width: int = 160, height: int = 120
) -> Frame:
    """Ground everywhere in the central area, another colour outside it, and every sign in a
    third."""
    pixels = np.full((height, width, 3), MARGIN, dtype=np.uint8)
    pixels[height // 4 : height * 3 // 4, width // 8 : width * 7 // 8] = GROUND
    for left, top, right, bottom in boxes:
        pixels[top:bottom, left:right] = SIGN
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return Frame(name, buffer.getvalue(), np.array(boxes, dtype=np.float64).reshape(-1, 4))


def test_patches_show_the_central_area_only_and_no_pixel_of_a_sign() -> None:
    frames = [
        painted("a", [(40, 40, 70, 70), (100, 55, 101, 56)]),
        painted("b", []),
        painted("c", [(80, 50, 120, 80)]),
    ]
    crops, problems = background_patches(
        frames, 300, (4, 24), Preprocessing(8, 8, 3), np.random.default_rng(0)
    )
    assert problems == ()
    assert (
        crops.source.pixels == 90
    ).all()  # one pixel of a sign or of the margin would colour the patch
    assert (crops.source.labels == OUT).all()
    assert crops.source.name == "Background"
    assert crops.sizes.min() == 4
    assert crops.sizes.max() == 24
    assert (crops.sizes[:, 0] == crops.sizes[:, 1]).all()
    assert {name: (crops.frames == name).sum() for name in "abc"} == {"a": 100, "b": 100, "c": 100}


def test_patches_come_from_the_whole_central_area() -> None:
    ramp = np.zeros((80, 80, 3), dtype=np.uint8)
    ramp[..., 0], ramp[..., 1] = np.arange(80)[None], np.arange(80)[:, None]
    buffer = io.BytesIO()
    Image.fromarray(ramp).save(buffer, "PNG")
    frame = Frame("ramp", buffer.getvalue())
    crops, _ = background_patches(
        [frame], 3000, (1, 1), Preprocessing(1, 1, 3), np.random.default_rng(0)
    )
    columns, rows = crops.source.pixels[:, 0].ravel(), crops.source.pixels[:, 1].ravel()
    assert set(columns.tolist()) == set(range(10, 70))
    assert set(rows.tolist()) == set(range(20, 60))


def test_a_generator_in_the_same_state_gives_the_same_patches() -> None:
    noise = np.random.default_rng(5).integers(0, 256, (60, 60, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "PNG")
    frames = [Frame("noise", buffer.getvalue())]
    first, again, other = (
        background_patches(frames, 5, (6, 9), Preprocessing(6, 6, 3), np.random.default_rng(s))[0]
        for s in (1, 1, 2)
    )
    np.testing.assert_array_equal(first.source.pixels, again.source.pixels)
    assert (first.source.pixels != other.source.pixels).any()


def test_a_frame_that_cannot_give_a_patch_is_named_and_the_others_take_its_share(
    tmp_path: Path,
) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    full = painted("full", [(0, 0, 160, 120)])
    frames = [
        Frame("broken", tmp_path / "broken.jpg"),
        painted("tiny", [], 16, 8),
        full,
        painted("good", []),
    ]
    crops, problems = background_patches(
        frames, 40, (8, 8), Preprocessing(8, 8, 3), np.random.default_rng(0)
    )
    assert set(crops.frames.tolist()) == {"good"}
    assert len(crops) == 40
    assert [p.path.name for p in problems] == ["broken.jpg", "tiny", "full"]
    assert "too few" in problems[1].reason
    assert "without a sign" in problems[2].reason
    assert not any(p.used for p in problems)


def test_where_no_frame_can_give_a_patch_the_reason_is_said() -> None:
    with pytest.raises(UserError, match="too few"):
        background_patches(
            [painted("a", [])], 1, (100, 100), Preprocessing(8, 8, 3), np.random.default_rng(0)
        )
    with pytest.raises(UserError, match="there is no frame"):
        background_patches([], 1, (4, 4), Preprocessing(8, 8, 3), np.random.default_rng(0))
    with pytest.raises(ValueError, match="smallest first"):
        background_patches([], 1, (4, 3), Preprocessing(8, 8, 3), np.random.default_rng(0))
    assert (
        len(background_patches([], 0, (4, 4), Preprocessing(8, 8, 3), np.random.default_rng(0))[0])
        == 0
    )
