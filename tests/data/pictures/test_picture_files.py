"""Single picture files: every reason and remark, and no trace of Pillow's own warnings."""

import io
import re
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from knowbound.data.pictures import picture_files
from knowbound.data.pictures.picture_files import (
    UnreadableImageError,
    in_order,
    open_picture,
    read_files,
)
from knowbound.data.preprocessing import Preprocessing
from tests.data.pictures.test_folder import RGB

SHAPE = Preprocessing(8, 8, 3)


def encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def reason(path: Path, **options: int) -> str:
    with pytest.raises(UnreadableImageError) as caught:
        open_picture(path, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("picture", "words"),
    [
        (
            Image.new("F", (4, 4), 0.25),
            r"^floating-point pixels in 0\.25\.\.0\.25, .* --range auto",
        ),
        (Image.new("I", (4, 4), 70_000), r"^integer pixels in 70000\.\.70000, beyond 16 bits"),
        (Image.new("I", (4, 4), -3), r"^integer pixels in -3\.\.-3, beyond 16 bits"),
    ],
)
def test_values_of_no_known_range(tmp_path: Path, picture: Image.Image, words: str) -> None:
    picture.save(tmp_path / "a.tif")
    ((_, image, said),) = read_files([tmp_path / "a.tif"], SHAPE)
    assert image is None
    assert re.search(words, said)


def test_pillow_warns_nobody_and_the_filters_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for index in range(20):  # converting such palettes to grey or RGB makes Pillow warn
        picture = Image.fromarray(RGB).quantize(8)
        picture.save(tmp_path / f"{index}.png", transparency=bytes(range(8)))
    convert = Image.Image.convert

    def warning(self: Image.Image, *args: object, **options: object) -> Image.Image:
        warnings.warn_explicit("of Pillow", UserWarning, "Image.py", 1, module="PIL.Image")
        return convert(self, *args, **options)

    monkeypatch.setattr(Image.Image, "convert", warning)
    paths = sorted(tmp_path.iterdir())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        before = list(warnings.filters)
        assert all(image is not None for _, image, _ in read_files(paths * 5, SHAPE, workers=8))
        assert warnings.filters == before
        assert not caught
        warning(Image.new("L", (1, 1)), "L")
        assert len(caught) == 1


@pytest.mark.parametrize(
    ("quick", "ahead"),
    [(float("inf"), 2 * picture_files.GROUP), (0.0, 4 * 2 + 1)],
    ids=["quick pictures", "slow pictures"],
)
def test_the_look_ahead_is_bounded_and_the_order_kept(
    quick: float, ahead: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(picture_files, "QUICK", quick)
    begun: list[int] = []

    def items() -> Iterator[int]:
        for item in range(500):
            begun.append(item)
            yield item

    def function(item: int) -> int:
        threading.Event().wait(0.0005 * (item % 3))
        return item * item

    results = in_order(function, items(), workers=2)
    for done in range(300):
        assert next(results) == done * done
        assert len(begun) <= done + 1 + ahead
    results.close()  # type: ignore[attr-defined]
    assert len(begun) <= 300 + ahead
    assert list(in_order(function, range(50), workers=4)) == [i * i for i in range(50)]


@pytest.mark.parametrize(
    ("quick", "slow_from", "at_once"),
    [(float("inf"), 100, 1), (0.0, 100, 2), (0.001, 50, 2)],
    ids=["quick pictures", "slow pictures", "slow after 50 quick ones"],
)
def test_quick_pictures_are_read_by_one_thread(
    quick: float, slow_from: int, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(picture_files, "QUICK", quick)
    lock, running, most = threading.Lock(), [0], [0]

    def function(item: int) -> int:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        if item >= slow_from:
            threading.Event().wait(0.005)
        with lock:
            running[0] -= 1
        return item

    assert list(in_order(function, range(200), workers=2)) == list(range(200))
    assert most[0] == at_once


@pytest.mark.parametrize(("seconds", "at_once"), [(0.016, 1), (0.08, 2)], ids=["core", "disk"])
def test_waiting_for_a_core_is_no_work_and_waiting_for_a_disk_is(
    seconds: float, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(picture_files, "QUICK", 0.012)
    lock, running, most = threading.Lock(), [0], [0]

    def function(item: int) -> int:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        threading.Event().wait(seconds)
        with lock:
            running[0] -= 1
        return item

    assert list(in_order(function, range(16), workers=2)) == list(range(16))
    assert most[0] == at_once


def test_reading_is_lazy(tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.png")
    rows: Iterator[object] = read_files([tmp_path / "a.png"] * 3, SHAPE)
    assert len([next(rows), next(rows)]) == 2
