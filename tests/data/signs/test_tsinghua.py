"""The cropped signs, from a folder and from a zip file."""

import io
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from knowbound.data.preprocessing import Preprocessing
from knowbound.data.signs.tsinghua import (
    TsinghuaCrops,
    drop_shared_frames,
    read_tsinghua_crops,
    usable_classes,
)
from knowbound.errors import UserError
from knowbound.labels import OUT

SMALL = Preprocessing(4, 4, 3)
FILES = {  # path: (shade, width, height)
    "train/pl40/10_0.png": (10, 4, 4),
    "train/pl40/11_1.png": (20, 5, 9),
    "train/i5/10_1.png": (30, 4, 4),
    "train/i5/12_0.png": (40, 4, 4),
    "train/negative/13.png": (50, 4, 4),
    "train/negative/21.png": (60, 4, 4),
    "test/pl40/20_0.png": (70, 4, 4),
    "test/w3/11_0.png": (80, 4, 4),
    "test/negative/21.png": (90, 4, 4),
}


def png(shade: int, width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (shade, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


def write(root: Path, files: dict[str, bytes]) -> tuple[Path, Path]:
    """The same files as a folder and as a zip file."""
    with zipfile.ZipFile(root / "crops.zip", "w") as archive:
        for name, content in files.items():
            (root / "crops" / name).parent.mkdir(parents=True, exist_ok=True)
            (root / "crops" / name).write_bytes(content)
            archive.writestr(name, content)
    return root / "crops", root / "crops.zip"


@pytest.fixture(params=["folder", "zip"])
def crops_path(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    folder, archive = write(tmp_path, {name: png(*picture) for name, picture in FILES.items()})
    return folder if request.param == "folder" else archive


def listed(crops: TsinghuaCrops) -> set[tuple[str, str, int]]:
    """(class, frame, shade) of every crop."""
    names = (*crops.signs.source.class_names, "negative")  # label -1 is the last
    found = set()
    for part in (crops.signs, crops.background):
        for index in range(len(part)):
            label, shade = part.source.labels[index], int(part.source.pixels[index, 0, 0, 0])
            found.add((names[label], str(part.frames[index]), shade))
    return found


@pytest.mark.parametrize("part", ["train", "test"])
def test_every_file_becomes_a_crop_with_its_class_and_frame(crops_path: Path, part: str) -> None:
    crops = read_tsinghua_crops(crops_path, part, SMALL)  # type: ignore[arg-type]
    expected = set()
    for name, (shade, _, _) in FILES.items():
        side, class_name, file = name.split("/")
        if side == part:
            expected.add((class_name, file.removesuffix(".png").split("_")[0], shade))
    assert listed(crops) == expected
    assert crops.signs.source.class_names == ("i5", "pl40", "w3")  # the same for both parts
    assert crops.background.source.name == "Background"
    assert (crops.background.source.labels == OUT).all()
    assert crops.problems == ()


def test_sizes_are_those_before_resizing(crops_path: Path) -> None:
    signs = read_tsinghua_crops(crops_path, "train", SMALL).signs
    assert signs.sizes[signs.frames == "11"].tolist() == [[9, 5]]
    assert signs.source.image_shape == (3, 4, 4)


def test_no_frame_stays_on_both_sides(crops_path: Path) -> None:
    train, test = (read_tsinghua_crops(crops_path, part, SMALL) for part in ("train", "test"))
    strict, dropped = drop_shared_frames(train, test)
    assert listed(train) - listed(strict) == {("pl40", "11", 20), ("negative", "21", 60)}
    assert dropped == 2
    assert drop_shared_frames(strict, test)[1] == 0


def test_a_broken_picture_is_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    good = png(10, 4, 4)
    files = {
        "train/a/1_0.png": good,
        "train/a/2_0.png": b"text",
        "train/b/3_0.png": good[:45],
        "train/b/4_0.png": b"",
    }
    for path in write(tmp_path, files):
        crops = read_tsinghua_crops(path, "train", SMALL)
        assert crops.signs.frames.tolist() == ["1"]
        assert [p.path for p in crops.problems] == [path / name for name in list(files)[1:]]
        assert all("not a readable picture" in p.reason and not p.used for p in crops.problems)


def test_a_damaged_member_of_a_zip_file_is_named(tmp_path: Path) -> None:
    _, path = write(tmp_path, {"train/a/1_0.png": png(10, 4, 4), "train/a/2_0.png": png(20, 4, 4)})
    content = bytearray(path.read_bytes())
    content[content.index(b"1_0.png") + 30] ^= (
        255  # inside the stored picture: its checksum no longer fits
    )
    path.write_bytes(content)
    crops = read_tsinghua_crops(path, "train", SMALL)
    assert crops.signs.frames.tolist() == ["2"]
    assert "CRC" in crops.problems[0].reason


def test_a_folder_around_the_parts_and_an_archivers_own_files_do_not_matter(tmp_path: Path) -> None:
    files = {
        "set/train/a/1_0.png": png(10, 4, 4),
        "__MACOSX/train/a/._1_0.png": b"x",
        "set/train/a/.DS_Store": b"x",
    }
    _, path = write(tmp_path, files)
    crops = read_tsinghua_crops(path, "train", SMALL)
    assert crops.signs.frames.tolist() == ["1"]
    assert crops.problems == ()


def test_a_wrong_path_or_layout_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        read_tsinghua_crops(tmp_path / "nowhere.zip", "train", SMALL)
    (tmp_path / "text").write_text("no archive")
    with pytest.raises(UserError, match="not a whole zip or tar archive"):
        read_tsinghua_crops(tmp_path / "text", "train", SMALL)
    folder, _ = write(tmp_path, {"train/a/1_0.png": png(10, 4, 4)})
    with pytest.raises(UserError, match="test/<class>"):
        read_tsinghua_crops(folder, "test", SMALL)


def test_rare_and_catch_all_classes_are_not_usable() -> None:
    counts = {"a": 9, "b": 10, "io": 500, "po": 500, "wo": 500, "c": 11}
    assert usable_classes(counts) == ("b", "c")
    assert usable_classes(counts, fewest=9) == ("a", "b", "c")
    assert usable_classes({}) == ()
