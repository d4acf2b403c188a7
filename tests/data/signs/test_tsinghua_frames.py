"""The official layout: signs cut out of full frames, and everything that can be wrong with it."""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from knowbound.data.preprocessing import Preprocessing
from knowbound.data.signs.background_patches import background_patches
from knowbound.data.signs.tsinghua import read_tsinghua_crops
from knowbound.data.signs.tsinghua_frames import list_tsinghua_frames, read_tsinghua_frames
from knowbound.errors import UserError

WHOLE = Preprocessing(6, 6, 3)
PIXELS = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)


def sign(category: str, left: float, top: float, right: float, bottom: float) -> dict[str, Any]:
    return {
        "category": category,
        "bbox": {"xmin": left, "ymin": top, "xmax": right, "ymax": bottom},
    }


def write(
    root: Path, frames: dict[str, list[Any]], types: tuple[str, ...] = ("pl40", "i5")
) -> Path:
    """A data set in the official layout; a frame's id is the stem of its path."""
    for path in frames:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(PIXELS).save(
            root / path, "PNG"
        )  # Pillow looks at the content, so no pixel is lost to JPEG
    imgs = {
        Path(p).stem: {"path": p, "id": int(Path(p).stem), "objects": objects}
        for p, objects in frames.items()
    }
    (root / "annotations.json").write_text(json.dumps({"imgs": imgs, "types": list(types)}))
    return root


def test_each_sign_is_cut_out_with_its_class_and_frame(tmp_path: Path) -> None:
    first = [sign("i5", 3, 4, 9, 10), sign("pl40", 20.0, 11.0, 26.0, 17.0)]
    root = write(
        tmp_path, {"train/7.jpg": first, "test/8.jpg": [sign("i5", 0, 0, 6, 6)], "train/9.jpg": []}
    )
    crops = read_tsinghua_frames(root, "train", WHOLE)
    assert crops.problems == ()
    assert crops.signs.frames.tolist() == ["7", "7"]
    assert [crops.signs.source.class_names[label] for label in crops.signs.source.labels] == [
        "i5",
        "pl40",
    ]
    for image, (left, top) in zip(crops.signs.source.pixels, ((3, 4), (20, 11)), strict=True):
        np.testing.assert_array_equal(
            image, PIXELS[top : top + 6, left : left + 6].transpose(2, 0, 1)
        )
    assert len(crops.background) == 0
    assert len(read_tsinghua_frames(root, "test", WHOLE).signs) == 1


def test_boxes_are_rounded_to_whole_pixels_and_never_vanish(tmp_path: Path) -> None:
    signs = [sign("i5", 3.4, 3.6, 9.4, 9.6), sign("i5", 5.1, 5.1, 5.2, 5.2)]
    crops = read_tsinghua_frames(write(tmp_path, {"train/7.jpg": signs}), "train", WHOLE)
    assert crops.problems == ()
    assert crops.signs.sizes.tolist() == [[6, 6], [1, 1]]
    np.testing.assert_array_equal(
        crops.signs.source.pixels[0], PIXELS[4:10, 3:9].transpose(2, 0, 1)
    )


BAD_SIGNS = [
    (sign("i5", 60, 4, 70, 10), "outside the frame of 50 x 40"),
    (sign("i5", -9, 4, -1, 10), "outside the frame"),
    (sign("i5", 5, 5, 5, 10), "empty or inverted"),
    (sign("i5", 9, 5, 3, 10), "empty or inverted"),
    (sign("i5", float("nan"), 5, 9, 10), "empty or inverted"),
    (sign("pl999", 3, 4, 9, 10), "'pl999' is not among the types"),
    ({"category": "i5"}, "no box of four numbers"),
    ({"bbox": {"xmin": 1, "ymin": 1, "xmax": 5, "ymax": 5}}, "no category"),
    (
        {"category": "i5", "bbox": {"xmin": 1, "ymin": 1, "xmax": "wide", "ymax": 5}},
        "no box of four numbers",
    ),
    ("a word", "no box of four numbers"),
    (None, "no box of four numbers"),
]


@pytest.mark.parametrize(("bad", "reason"), BAD_SIGNS)
def test_a_bad_sign_is_named_once_and_the_others_are_kept(
    tmp_path: Path, bad: Any, reason: str
) -> None:
    signs = [sign("i5", 3, 4, 9, 10), bad, sign("pl40", 20, 11, 26, 17)]
    crops = read_tsinghua_frames(write(tmp_path, {"train/7.jpg": signs}), "train", WHOLE)
    assert [crops.signs.source.class_names[label] for label in crops.signs.source.labels] == [
        "i5",
        "pl40",
    ]
    (problem,) = crops.problems
    assert problem.path == tmp_path / "train/7.jpg"
    assert reason in problem.reason
    assert not problem.used


def test_a_box_partly_outside_is_cut_at_the_edge_and_used(tmp_path: Path) -> None:
    crops = read_tsinghua_frames(
        write(tmp_path, {"train/7.jpg": [sign("i5", 44, -3, 53, 6)]}), "train", WHOLE
    )
    np.testing.assert_array_equal(
        crops.signs.source.pixels[0], PIXELS[0:6, 44:50].transpose(2, 0, 1)
    )
    (problem,) = crops.problems
    assert problem.used
    assert "cut at its edge" in problem.reason


def test_missing_and_unreadable_frames_are_named_with_the_signs_they_cost(tmp_path: Path) -> None:
    good = [sign("i5", 3, 4, 9, 10)]
    write(
        tmp_path,
        {"train/1.jpg": good, "train/2.jpg": good * 2, "train/3.jpg": good, "train/4.jpg": good},
    )
    (tmp_path / "train/2.jpg").unlink()
    (tmp_path / "train/3.jpg").write_bytes(b"")
    (tmp_path / "train/4.jpg").write_bytes((tmp_path / "train/1.jpg").read_bytes()[:-500])
    crops = read_tsinghua_frames(tmp_path, "train", WHOLE)
    assert crops.signs.frames.tolist() == ["1"]
    reasons = {p.path.name: p.reason for p in crops.problems}
    assert len(crops.problems) == 3
    assert reasons["2.jpg"] == "the frame is missing; 2 signs lost"
    assert "not a readable picture" in reasons["3.jpg"]
    assert "1 sign lost" in reasons["4.jpg"]


@pytest.mark.parametrize(
    "entry", [{}, {"path": 3}, {"path": "../7.jpg"}, {"path": "/etc/7.jpg"}, None, {"path": ""}]
)
def test_an_entry_without_a_usable_path_is_named(tmp_path: Path, entry: Any) -> None:
    write(tmp_path, {"train/7.jpg": [sign("i5", 3, 4, 9, 10)]})
    content = json.loads((tmp_path / "annotations.json").read_text())
    content["imgs"]["8"] = entry
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    crops = read_tsinghua_frames(tmp_path, "train", WHOLE)
    assert len(crops.signs) == 1
    assert ["frame 8" in p.reason for p in crops.problems] == [True]


def test_a_wrong_layout_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"annotations\.json cannot be read"):
        read_tsinghua_frames(tmp_path, "train", WHOLE)
    for content in ("no JSON", '{"imgs": {}}', "[]", '{"imgs": [], "types": []}'):
        (tmp_path / "annotations.json").write_text(content)
        with pytest.raises(UserError, match="official"):
            read_tsinghua_frames(tmp_path, "train", WHOLE)
    write(tmp_path, {"train/7.jpg": []})
    with pytest.raises(UserError, match="0 frames under test/"):
        read_tsinghua_frames(tmp_path, "test", WHOLE)
    (tmp_path / "train/7.jpg").unlink()
    with pytest.raises(UserError, match="1 frames under train/ and none"):
        read_tsinghua_frames(tmp_path, "train", WHOLE)


def test_background_patches_avoid_signs_of_undeclared_categories_too(tmp_path: Path) -> None:
    write(tmp_path, {"train/7.jpg": [sign("pl999", 20, 15, 30, 25)]})
    pixels = PIXELS.copy()
    pixels[...] = 9
    pixels[15:25, 20:30] = 200
    Image.fromarray(pixels).save(tmp_path / "train/7.jpg", "PNG")
    frames = list_tsinghua_frames(tmp_path, "train").frames
    crops, _ = background_patches(
        frames, 50, (3, 6), Preprocessing(3, 3, 3), np.random.default_rng(0)
    )
    assert (crops.source.pixels == 9).all()


@pytest.mark.real_data
def test_a_real_frame_gives_the_crops_of_the_cropped_set(real_data: Path, tmp_path: Path) -> None:
    root = real_data / "tt100k" / "official_sample"
    if not root.is_dir():
        pytest.skip(f"{root} is absent")
    size = Preprocessing(18, 17, 3)
    cut = read_tsinghua_frames(root, "test", size)
    with zipfile.ZipFile(real_data / "tt100k" / "tt100k_crops.zip") as archive:
        archive.extractall(
            tmp_path, [n for n in archive.namelist() if n.startswith("test/") and "/2_" in n]
        )
    given = read_tsinghua_crops(tmp_path, "test", size).signs
    assert cut.problems == ()
    assert len(cut.signs) == len(given) == 8
    for name in given.source.class_names:
        ours, theirs = (
            c.take_classes([name]).source.pixels.astype(float) for c in (cut.signs, given)
        )
        nearest = np.abs(ours[:, None] - theirs[None]).mean(axis=(2, 3, 4)).min(axis=1)
        assert len(ours) == len(theirs)
        assert (
            nearest.max() < 4
        )  # larger crops were shrunk to 44 pixels before ours shrank them again
    pne = (c.take_classes(["pne"]).source.pixels for c in (cut.signs, given))
    np.testing.assert_array_equal(*pne)  # a small crop is exact


@pytest.mark.real_data
def test_frames_that_are_not_at_hand_are_counted(real_data: Path) -> None:
    root = real_data / "tt100k" / "official_sample"
    if not root.is_dir():
        pytest.skip(f"{root} is absent")
    crops = read_tsinghua_frames(root, "test", WHOLE, "annotations_from_boxes.json")
    entries = json.loads((root / "annotations_from_boxes.json").read_text())["imgs"].values()
    missing = sum(entry["path"].startswith("test/") for entry in entries) - 1
    assert sum("missing" in p.reason for p in crops.problems) == len(crops.problems) == missing
    assert crops.signs.frames.tolist() == ["2"] * 8
