"""Folders of every kind of picture: each problem named once, nothing lost, pixels as a slow
computation has them."""

import os
import re
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from knowbound.data.pictures.folder import (
    FolderPixels,
    UnreadableImageError,
    list_files,
    open_picture,
    read_files,
    read_folder,
)
from knowbound.data.preprocessing import Preprocessing
from knowbound.errors import UserError

SHAPE = Preprocessing(8, 8, 3)
GREY = np.linspace(0, 255, 64).astype(np.uint8).reshape(8, 8)
RGB = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)


def png_header(width: int, height: int) -> bytes:
    """A PNG that promises a huge picture in a few bytes."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 100))
        + chunk(b"IEND", b"")
    )


@pytest.fixture
def zoo(tmp_path: Path) -> Path:
    """Good pictures of every mode in class ``good``, bad ones in ``bad`` (with one good), some at
    the wrong places."""
    good, bad = tmp_path / "zoo" / "good", tmp_path / "zoo" / "bad"
    (good / "deep" / "deeper").mkdir(parents=True)
    bad.mkdir()
    Image.fromarray(RGB).save(good / "rgb.png")
    Image.fromarray(RGB).save(good / "deep" / "deeper" / "ünï cødé.png")
    Image.fromarray(GREY).save(good / "grey.png")
    Image.fromarray(GREY).convert("P").save(good / "palette.png")
    Image.fromarray(RGB).convert("CMYK").save(good / "cmyk.jpg", quality=95)
    Image.fromarray(GREY.astype(np.uint16) * 257).save(good / "sixteen.png")
    Image.fromarray(np.dstack([RGB, np.where(GREY > 127, 255, 0).astype(np.uint8)])).save(
        good / "transparent.png"
    )
    Image.fromarray(GREY > 127).save(good / "one_bit.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    Image.fromarray(RGB).save(good / "turned.png", exif=exif)
    Image.fromarray(RGB).save(bad / "png_named.jpg", format="PNG")
    frames = [Image.fromarray(np.full((8, 8), value, np.uint8)) for value in (10, 200, 90)]
    frames[0].save(bad / "animated.gif", save_all=True, append_images=frames[1:])
    (bad / "empty.png").write_bytes(b"")
    (bad / "text.png").write_text("this is no picture")
    (bad / "notes.txt").write_text("nor is this")
    (bad / "bomb.png").write_bytes(png_header(50_000, 50_000))
    (bad / "small_bomb.png").write_bytes(png_header(12_000, 12_000))
    Image.fromarray(np.tile(RGB, (20, 20, 1))).save(bad / "truncated.jpg")
    whole = (bad / "truncated.jpg").read_bytes()
    (bad / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    Image.fromarray(GREY.astype(np.float32)).save(bad / "float.tiff")
    (bad / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "zoo" / "beside.png").write_bytes((good / "rgb.png").read_bytes())
    (tmp_path / "zoo" / "hollow").mkdir()
    (tmp_path / "zoo" / "hollow" / "nothing.png").write_bytes(b"\x89PNG")
    (good / ".DS_Store").write_bytes(b"x")
    (good / "Thumbs.db").write_bytes(b"x")
    return tmp_path / "zoo"


EXPECTED = {
    "png_named.jpg": (True, "^named .jpg but holds a PNG$"),
    "animated.gif": (True, "^animated: only its first of 3 frames is used$"),
    "empty.png": (False, "^empty: the file has 0 bytes$"),
    "text.png": (False, "^not a picture"),
    "notes.txt": (False, "^not a picture"),
    "bomb.png": (
        False,
        "^too large: .* 50000 x 50000 = 2500000000 pixels, over .* 100000000: perhaps a "
        "decompression bomb; allow more with --max-pixels if you trust it$",
    ),
    "small_bomb.png": (False, "12000 x 12000"),
    "truncated.jpg": (False, "^truncated: the file ends"),
    "float.tiff": (False, "floating-point"),
    "gone.png": (False, "^a broken link"),
    "beside.png": (False, "lies beside the class folders"),
    "nothing.png": (False, "^not a picture"),
    "hollow": (False, "class hollow has no readable image and is left out"),
    "zoo": (
        False,
        r"^skipped what system programs left, 2 files in all: (.DS_Store|Thumbs.db) \(1\), ",
    ),
}


def test_each_problem_is_named_once_and_nothing_is_lost(zoo: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read = read_folder(zoo, SHAPE, classes=True)
    found = [Path(problem.path).name for problem in read.problems]
    assert sorted(found) == sorted(EXPECTED)
    for problem in read.problems:
        used, words = EXPECTED[Path(problem.path).name]
        assert problem.used is used, problem
        assert re.search(words, problem.reason), problem
    assert read.source.class_names == ("bad", "good")
    assert np.bincount(read.source.labels).tolist() == [2, 9]
    everything = {p.name for p in zoo.rglob("*") if not p.is_dir()} - {".DS_Store", "Thumbs.db"}
    assert everything == {Path(p).name for p in read.paths} | set(found) - {"hollow", "zoo"}


def test_pixels_of_every_mode(zoo: Path) -> None:
    read = read_folder(zoo / "good", SHAPE, classes=False)
    images = {
        Path(p).name: image.transpose(1, 2, 0)
        for p, image in zip(read.paths, read.source.images(slice(None)), strict=True)
    }
    np.testing.assert_array_equal(images["rgb.png"], RGB)
    np.testing.assert_array_equal(images["ünï cødé.png"], RGB)
    np.testing.assert_array_equal(images["grey.png"], np.dstack([GREY] * 3))
    np.testing.assert_array_equal(images["sixteen.png"], np.dstack([GREY] * 3))
    np.testing.assert_array_equal(images["palette.png"], np.dstack([GREY] * 3))
    np.testing.assert_array_equal(
        images["one_bit.png"], np.dstack([np.where(GREY > 127, 255, 0)] * 3)
    )
    np.testing.assert_array_equal(images["turned.png"], np.rot90(RGB, -1))
    np.testing.assert_array_equal(
        images["transparent.png"], np.where(GREY[..., None] > 127, RGB, 255)
    )
    assert np.abs(images["cmyk.jpg"].astype(int) - RGB).mean() < 40
    assert (read.source.labels == -1).all()


def test_streamed_images_and_hashes_are_those_in_memory(zoo: Path) -> None:
    whole, streamed = (
        read_folder(zoo, SHAPE, classes=True, memory_limit=limit) for limit in (10**9, 10)
    )
    assert isinstance(streamed.source.pixels, FolderPixels)
    np.testing.assert_array_equal(
        whole.source.images(slice(None)), streamed.source.images(slice(None))
    )
    indices = np.array([7, 0, 3])
    for taken in (streamed.source.take(indices), streamed.source.take_classes(["good"])):
        assert isinstance(taken.pixels, FolderPixels)
    np.testing.assert_array_equal(
        whole.source.take(indices).images(slice(1, 3)),
        streamed.source.take(indices).images(slice(1, 3)),
    )
    assert whole.sha256 == streamed.sha256
    assert whole.source.sha256() == streamed.source.sha256()


def test_a_file_that_breaks_later_is_named(zoo: Path) -> None:
    streamed = read_folder(zoo / "good", SHAPE, classes=False, memory_limit=10)
    (zoo / "good" / "rgb.png").unlink()
    with pytest.raises(
        UserError, match="rgb.png was read before but cannot be any more .the file does not exist."
    ):
        streamed.source.images(slice(None))


def test_large_jpegs_are_decoded_smaller_but_alike(tmp_path: Path) -> None:
    rows, columns = np.mgrid[0:800, 0:600]
    large = np.dstack(
        [rows * 255 // 800, columns * 255 // 600, (rows + columns) * 255 // 1400]
    ).astype(np.uint8)
    Image.fromarray(large).save(tmp_path / "large.jpg", quality=95)
    ((_, image, remark),) = read_files([tmp_path / "large.jpg"], SHAPE)
    assert remark == ""
    assert image is not None
    slow = SHAPE(Image.open(tmp_path / "large.jpg"))
    assert np.abs(image.astype(int) - slow).max() <= 3


def test_read_files_keeps_the_order_and_gives_reasons(zoo: Path) -> None:
    paths = [
        zoo / "good" / "rgb.png",
        zoo / "bad" / "empty.png",
        zoo / "missing.png",
        zoo / "good",
    ] * 30
    rows = list(read_files(paths, SHAPE, workers=3))
    assert [row[0] for row in rows] == paths
    assert [row[1] is None for row in rows] == [False, True, True, True] * 30
    assert rows[2][2] == "the file does not exist"
    assert rows[3][2] == "a folder, where a picture file was expected"


def test_open_picture_raises_one_short_sentence(zoo: Path) -> None:
    assert open_picture(zoo / "good" / "rgb.png")[1] == ""
    with pytest.raises(
        UnreadableImageError, match="^truncated: the file ends before the picture does$"
    ):
        open_picture(zoo / "bad" / "truncated.jpg")
    with pytest.raises(UnreadableImageError, match="over the limit of 10"):
        open_picture(zoo / "good" / "rgb.png", max_pixels=10)


def test_classes_come_in_natural_order_and_files_sorted(tmp_path: Path) -> None:
    for name in ("10/b.png", "9/x/c.png", "9/a.png", "Sign 1/a.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        Image.fromarray(RGB).save(tmp_path / name)
    read = read_folder(tmp_path, SHAPE, classes=True)
    assert read.source.class_names == ("9", "10", "Sign 1")
    assert [str(p.relative_to(tmp_path)) for p in list_files(tmp_path)] == [
        "9/a.png",
        "9/x/c.png",
        "10/b.png",
        "Sign 1/a.png",
    ]
    assert read.source.labels.tolist() == [0, 0, 1, 2]
    for name in ("img10.png", "img9.png", "IMG2.png"):
        (tmp_path / "Sign 1" / name).write_bytes(b"")
    assert [p.name for p in list_files(tmp_path / "Sign 1")] == [
        "a.png",
        "IMG2.png",
        "img9.png",
        "img10.png",
    ]


def test_a_list_of_pictures_works_like_a_folder(zoo: Path) -> None:
    (zoo / "list.csv").write_text(
        "# path, class\ngood/rgb.png,sign 2\ngood/grey.png,sign 10\n\nbad/empty.png,sign 2\n"
    )
    read = read_folder(zoo / "list.csv", SHAPE, classes=True)
    assert read.source.class_names == ("sign 2", "sign 10")
    assert read.source.labels.tolist() == [0, 1]
    assert [Path(p.path).name for p in read.problems] == ["empty.png"]
    (zoo / "plain.txt").write_text("good/rgb.png\n")
    assert len(read_folder(zoo / "plain.txt", SHAPE, classes=False).source) == 1
    with pytest.raises(UserError, match="line 1 of plain.txt gives no class"):
        read_folder(zoo / "plain.txt", SHAPE, classes=True)


def test_the_hash_of_a_set_follows_its_files_and_not_its_place(zoo: Path, tmp_path: Path) -> None:
    before = read_folder(zoo, SHAPE, classes=True).sha256
    moved = zoo.rename(tmp_path / "moved")
    assert read_folder(moved, SHAPE, classes=True).sha256 == before
    (moved / "good" / "grey.png").rename(moved / "bad" / "grey.png")
    assert read_folder(moved, SHAPE, classes=True).sha256 != before


@pytest.mark.parametrize(
    ("make", "classes", "words"),
    [
        (lambda p: None, True, "does not exist; expected a folder of pictures"),
        (lambda p: p.mkdir(), False, "is an empty folder"),
        (
            lambda p: (p.mkdir(), (p / "a.png").write_bytes(b"x")),
            True,
            "has files but no folders in it",
        ),
        (
            lambda p: (p.mkdir(), (p / "a.png").write_bytes(b"x")),
            False,
            "none of the files of .* is a readable picture .the first: .*a.png: not a picture",
        ),
        (
            lambda p: p.write_bytes(b"x"),
            True,
            "is a file; expected a folder of pictures, or a list",
        ),
    ],
)
def test_places_with_nothing_to_use(
    make: object, classes: bool, words: str, tmp_path: Path
) -> None:
    make(tmp_path / "place")  # type: ignore[operator]
    with pytest.raises(UserError, match=words):
        read_folder(tmp_path / "place", SHAPE, classes=classes)


def test_progress_counts_every_file(zoo: Path) -> None:
    seen: list[tuple[int, int]] = []
    read_folder(
        zoo / "bad", SHAPE, classes=False, progress=lambda done, total: seen.append((done, total))
    )
    assert seen == [(i + 1, 10) for i in range(10)]


def test_linked_class_folders_count_and_loops_end(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    for place in (root / "a", elsewhere):
        place.mkdir(parents=True)
        Image.fromarray(RGB).save(place / "1.png")
    (root / "b").symlink_to(elsewhere)
    (root / "a" / "up").symlink_to(root)
    (root / "a" / "itself.png").symlink_to(root / "a" / "itself.png")
    (root / "empty").mkdir()
    read = read_folder(root, SHAPE, classes=True)
    assert read.source.class_names == ("a", "b")
    assert [(Path(p.path).name, p.used) for p in read.problems] == [
        ("itself.png", False),
        ("empty", False),
    ]


def test_folders_linked_crosswise_are_read_once_for_each_class(tmp_path: Path) -> None:
    names = [
        f"k{index}" for index in range(12)
    ]  # along every path without a loop there would be 10^9 files
    for name in names:
        (tmp_path / name).mkdir()
        Image.fromarray(RGB).save(tmp_path / name / "own.png")
        for other in names:
            (tmp_path / name / f"to_{other}").symlink_to(tmp_path / other)
    files = list_files(tmp_path)
    for (
        name
    ) in names:  # its own picture at its own place, and that of every other folder it links to
        reached = [path for path in files if path.relative_to(tmp_path).parts[0] == name]
        assert tmp_path / name / "own.png" in reached
        assert sorted(path.resolve().parent.name for path in reached) == sorted(names)


def test_a_source_is_named_like_the_folder_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "real").mkdir()
    Image.fromarray(RGB).save(tmp_path / "real" / "1.png")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    monkeypatch.chdir(tmp_path / "real")
    for folder, name in (
        (tmp_path / "link", "link"),
        (Path(), "real"),
        (tmp_path / "real" / ".." / "real", "real"),
    ):
        assert read_folder(folder, SHAPE, classes=False).source.name == name


def test_a_class_of_a_list_without_a_readable_image_is_named_with_the_list(zoo: Path) -> None:
    (zoo / "list.csv").write_text("good/rgb.png,a\nbad/empty.png,b\n")
    problems = read_folder(zoo / "list.csv", SHAPE, classes=True).problems
    assert [(Path(p.path).name, p.used) for p in problems] == [
        ("empty.png", False),
        ("list.csv", False),
    ]
    assert problems[1].reason == "class b has no readable image and is left out"


def test_a_folder_that_cannot_be_opened_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("open", "closed"):
        (tmp_path / name).mkdir()
        Image.fromarray(RGB).save(tmp_path / name / "1.png")
    listdir = os.listdir

    def refuse(path: Path) -> list[str]:  # chmod would not stop root
        if path.name == "closed":
            raise PermissionError(13, "denied")
        return listdir(path)

    monkeypatch.setattr(os, "listdir", refuse)
    read = read_folder(tmp_path, SHAPE, classes=True)
    assert [p.reason for p in read.problems] == [
        "no permission to read it",
        "class closed has no readable image and is left out",
    ]
    with pytest.raises(UserError, match="cannot be opened"):
        read_folder(tmp_path / "closed", SHAPE, classes=False)


def test_odd_file_names_are_kept_and_escaped_where_they_are_shown(tmp_path: Path) -> None:
    for name in (b"line\nend.png", b"latin\xe9.png", "絵 é.png".encode(), "می\u200cخ.png".encode()):
        (tmp_path / os.fsdecode(name)).write_bytes(b"")
    Image.fromarray(RGB).save(tmp_path / "ok\t.png")
    read = read_folder(tmp_path, SHAPE, classes=False)
    names = {Path(p.path).name for p in read.problems}
    assert names == {"line\nend.png", r"latin\udce9.png", "絵 é.png", "می\u200cخ.png"}
    assert [Path(p).name for p in read.paths] == ["ok\t.png"]
    shown = sorted(str(p).split("/")[-1] for p in read.problems)
    empty = ": empty: the file has 0 bytes"
    assert shown == sorted(
        name + empty for name in (r"line\nend.png", r"latin\udce9.png", "絵 é.png", "می\u200cخ.png")
    )


def test_lines_of_a_list_that_cannot_be_used_are_named_and_the_rest_goes_on(zoo: Path) -> None:
    lines = [
        "path,class",
        "good/rgb.png,a",
        "good/rgb.png,a",
        "good/grey.png",
        "a,b,c",
        ",x",
        "missing.png,a",
        '"good/palette.png",b',
    ]
    (zoo / "list.csv").write_text("\n".join(lines))
    read = read_folder(zoo / "list.csv", SHAPE, classes=True)
    assert (read.source.class_names, read.source.labels.tolist()) == (("a", "b"), [0, 1])
    expected = [
        "line 3 .* names it again",
        "line 4 .* gives no class",
        "line 5 .* has 3 parts",
        "line 6 .* has no path",
        "does not exist",
    ]
    assert len(read.problems) == len(expected)
    for problem, words in zip(read.problems, expected, strict=True):
        assert re.search(words, problem.reason)


def test_a_list_that_gives_a_picture_two_classes_is_refused(zoo: Path) -> None:
    (zoo / "list.csv").write_text("path,class\ngood/rgb.png,a\ngood/rgb.png,b\n")
    with pytest.raises(UserError, match="line 3 of list.csv names good/rgb.png as b.*as a"):
        read_folder(zoo / "list.csv", SHAPE, classes=True)
    assert len(read_folder(zoo / "list.csv", SHAPE, classes=False).paths) == 1


def test_streaming_indexes_like_an_array(zoo: Path) -> None:
    whole, streamed = (
        read_folder(zoo / "good", SHAPE, classes=False, memory_limit=m).source for m in (10**9, 0)
    )
    mask = np.arange(len(whole)) % 2 == 0
    for indices in (3, [2, 2, 0], slice(5, 1, -2), np.array([], dtype=np.int64), mask):
        np.testing.assert_array_equal(streamed.pixels[indices], whole.pixels[indices])
