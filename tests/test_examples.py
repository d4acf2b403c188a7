"""The examples run and do what they say."""

import runpy
import zipfile
from pathlib import Path

import pytest

from knowbound.paper.signs.class_splits import class_split

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_own_training_loop_keeps_new_digits_apart() -> None:
    example = runpy.run_path(str(EXAMPLES / "own_training_loop.py"))
    assert example["main"](steps=60) > 0.9


def test_lost_area_is_half_the_product_of_the_tied_shares() -> None:
    example = runpy.run_path(str(EXAMPLES / "lost_area.py"))
    for (exact, legacy), (tied_in, tied_out) in zip(
        example["main"](images=2_000), example["TIED"], strict=True
    ):
        assert exact - legacy == pytest.approx(tied_in * tied_out / 2, abs=0.002)


def test_traffic_sign_folders_keep_frames_apart(tmp_path: Path) -> None:
    split = class_split(restricted=True)
    inside, shown, hidden = split.in_classes[0], split.seen[0], split.unseen[0]
    files = {
        f"train/{inside}/1_0.png": "signs",
        f"train/{inside}/2_0.png": None,
        f"test/{inside}/2_1.png": "test",
        f"train/{shown}/3_0.png": "other_signs",
        f"train/{hidden}/4_0.png": None,
        f"test/{hidden}/5_0.png": "new_signs",
        "train/negative/6_0.png": "background",
        "test/negative/7_0.png": "road",
        f"test/{shown}/8_0.png": None,
    }
    with zipfile.ZipFile(tmp_path / "crops.zip", "w") as archive:
        for name in files:
            archive.writestr(name, name)
    counts = runpy.run_path(str(EXAMPLES / "traffic_sign_folders.py"))["main"](
        tmp_path / "crops.zip", tmp_path / "walk"
    )
    assert counts == dict.fromkeys(filter(None, files.values()), 1)
    written = {
        path.read_text(): path.relative_to(tmp_path / "walk").parts[0]
        for path in (tmp_path / "walk").rglob("*.png")
    }
    assert written == {name: folder for name, folder in files.items() if folder}
    assert (tmp_path / "walk" / "signs" / inside / f"{inside}-1_0.png").exists()


def test_photograph_folders_keep_new_classes_and_test_pictures_apart(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "clothing.zip", "w") as archive:
        for name in ("hat", "dress"):
            for index in range(42):
                archive.writestr(f"{name}/{index:02}.jpg", b"")
    example = runpy.run_path(str(EXAMPLES / "photograph_folders.py"))
    counts = example["main"](tmp_path / "clothing.zip", tmp_path / "walk")
    assert counts == {"new": 42, "train": 40, "test": 2}
    assert sorted(path.name for path in (tmp_path / "walk/test/hat").iterdir()) == [
        "40.jpg",
        "41.jpg",
    ]
    assert not (tmp_path / "walk/train/dress").exists()
