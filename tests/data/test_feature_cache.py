"""The cache of features, against computing every row each time."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from knowbound.data import feature_cache, feature_records
from knowbound.data.feature_cache import FeatureCache, cache_folder, pixel_keys
from knowbound.data.source import Source

NETWORK, WIDTH = "lenet-28-0123", 5


def key(number: int) -> bytes:
    return hashlib.sha256(str(number).encode()).digest()


def keys(numbers: range | list[int]) -> list[bytes]:
    return [key(number) for number in numbers]


def row(number: int, width: int = WIDTH) -> NDArray[np.float32]:
    return np.random.default_rng(number).normal(size=width).astype(np.float32)


class Counting:
    """Computes the rows of numbered pictures and notes which it was asked for."""

    def __init__(self, numbers: range | list[int], width: int = WIDTH, scale: float = 1) -> None:
        self.numbers, self.width, self.scale = list(numbers), width, scale
        self.asked: list[int] = []
        self.most = 0

    def __call__(self, positions: NDArray[np.int64]) -> NDArray[np.float32]:
        asked = [self.numbers[position] for position in positions]
        self.asked += asked
        self.most = max(self.most, len(asked))
        return np.stack([row(number, self.width) for number in asked]) * np.float32(self.scale)


def kept(numbers: range | list[int]) -> NDArray[np.float32]:
    """The rows as float16 holds them."""
    rows = [row(number) for number in numbers]
    return np.array(rows, dtype=np.float16).reshape(-1, WIDTH).astype(np.float32)


@pytest.fixture
def cache(tmp_path: Path) -> FeatureCache:
    return FeatureCache(tmp_path / "features")


def rows_file(cache: FeatureCache) -> Path:
    (path,) = (cache.folder / NETWORK).glob("*.rows")
    return path


def test_rows_are_computed_once_in_any_order(cache: FeatureCache) -> None:
    compute = Counting(range(150))
    first = cache.features_of(NETWORK, keys(range(150)), compute)
    assert compute.asked == list(range(150))
    assert compute.most == feature_cache.BATCH
    assert first.shape == (150, 1, 1, WIDTH)
    assert first.computed == 150
    np.testing.assert_array_equal(first.rows(), kept(range(150)))
    mixed = [149, 7, 200, 7, 201, 0, 200]
    more = Counting(mixed)
    second = cache.features_of(NETWORK, keys(mixed), more)
    assert more.asked == [200, 201]
    assert (second.computed, second.remarks) == (2, ())
    np.testing.assert_array_equal(second.rows(), kept(mixed))
    np.testing.assert_array_equal(first.rows(), kept(range(150)))


def test_another_network_has_rows_of_its_own(cache: FeatureCache) -> None:
    cache.features_of(NETWORK, keys(range(3)), Counting(range(3)))
    other = cache.features_of("vit-224", keys(range(3)), Counting(range(3), width=9))
    assert other.computed == 3
    assert other.shape == (3, 1, 1, 9)
    assert {usage.network: usage.rows for usage in cache.usage()} == {NETWORK: 3, "vit-224": 3}


def test_features_are_the_pixels_of_a_source(cache: FeatureCache) -> None:
    features = cache.features_of(NETWORK, keys(range(4)), Counting(range(4)))
    labels = np.array([0, 1, 0, 1])
    source = Source("features", features, labels, ("a", "b")).take(np.array([3, 1]))
    assert source.image_shape == (1, 1, WIDTH)
    np.testing.assert_array_equal(source.images(slice(0, 2)).reshape(2, -1), kept([3, 1]))
    assert features[2].shape == (1, 1, WIDTH)
    assert features[labels == 1].shape == (2, 1, 1, WIDTH)
    assert source.sha256() != Source("features", features, labels, ("a", "b")).sha256()


def test_no_pictures(cache: FeatureCache) -> None:
    nothing = cache.features_of(NETWORK, [], Counting([]))
    assert nothing.shape == (0, 1, 1, 0)
    assert nothing.rows().shape == (0, 0)
    assert cache.usage() == []
    assert cache.empty() == 0


def test_numbers_beyond_float16_are_kept_as_float32(cache: FeatureCache) -> None:
    small = cache.features_of(NETWORK, keys(range(2)), Counting(range(2)))
    large = cache.features_of(NETWORK, keys(range(2, 5)), Counting(range(2, 5), scale=1e6))
    expected = np.stack([row(number) * np.float32(1e6) for number in range(2, 5)])
    np.testing.assert_array_equal(large.rows(), expected)
    both = cache.features_of(NETWORK, keys(range(5)), Counting(range(5)))
    assert both.computed == 0
    np.testing.assert_array_equal(both.rows(), np.concatenate([small.rows(), expected]))


def test_rows_of_another_width_are_refused(cache: FeatureCache) -> None:
    cache.features_of(NETWORK, keys(range(2)), Counting(range(2)))
    with pytest.raises(ValueError, match=r"shape \(2, 7\) were computed; expected \(2, 5\)"):
        cache.features_of(NETWORK, keys(range(4)), Counting(range(4), width=7))
    with pytest.raises(ValueError, match="cannot name a folder"):
        cache.features_of("../elsewhere", keys(range(2)), Counting(range(2)))
    with pytest.raises(ValueError, match=r"keys of \[3\] bytes"):
        cache.features_of(NETWORK, [b"abc"], Counting(range(1)))


def test_a_damaged_row_is_computed_again_with_a_remark(cache: FeatureCache) -> None:
    cache.features_of(NETWORK, keys(range(6)), Counting(range(6)))
    path = rows_file(cache)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1  # of the last row
    path.write_bytes(content)
    again = Counting(range(6))
    features = cache.features_of(NETWORK, keys(range(6)), again)
    assert again.asked == [5]
    assert [remark.split(" in ")[0] for remark in features.remarks] == [
        "the features of 1 pictures"
    ]
    np.testing.assert_array_equal(features.rows(), kept(range(6)))
    quiet = cache.features_of(NETWORK, keys(range(6)), Counting(range(6)))
    assert (quiet.computed, quiet.remarks) == (0, ())


def test_a_damaged_header_costs_the_file(cache: FeatureCache) -> None:
    cache.features_of(NETWORK, keys(range(6)), Counting(range(6)))
    path = rows_file(cache)
    path.write_bytes(b"?" * 200)
    features = cache.features_of(NETWORK, keys(range(6)), Counting(range(6)))
    assert features.computed == 6
    assert str(path) in features.remarks[0]
    assert not path.exists()


def test_a_half_written_row_is_dropped(cache: FeatureCache) -> None:
    cache.features_of(NETWORK, keys(range(6)), Counting(range(6)))
    path = rows_file(cache)
    path.write_bytes(path.read_bytes()[:-3])
    again = Counting(range(7))
    features = cache.features_of(NETWORK, keys(range(7)), again)
    assert again.asked == [5, 6]
    assert features.remarks == ()
    np.testing.assert_array_equal(features.rows(), kept(range(7)))
    assert rows_file(cache) == path
    assert cache.usage()[0].rows == 7


def test_rows_that_cannot_be_written_are_given_all_the_same(
    cache: FeatureCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_self: object, _records: object) -> None:
        raise OSError(28, "No space left on device")

    cache.features_of(NETWORK, keys(range(2)), Counting(range(2)))
    monkeypatch.setattr(feature_records.FileEnd, "append", full)
    features = cache.features_of(NETWORK, keys(range(200)), Counting(range(200)))
    np.testing.assert_array_equal(features.rows(), kept(range(200)))
    assert len(features.remarks) == 1
    assert "no space left on device" in features.remarks[0]
    assert cache.usage()[0].rows == 2


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "features").write_text("not a folder")
    features = FeatureCache(tmp_path / "features").features_of(
        NETWORK, keys(range(3)), Counting(range(3))
    )
    np.testing.assert_array_equal(features.rows(), kept(range(3)))
    assert "cannot be kept" in features.remarks[0]


def test_least_recently_used_files_are_removed_first(
    cache: FeatureCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feature_records, "FILE_LIMIT", 1)  # every batch has a file of its own
    groups = [range(start, start + 64) for start in (0, 64, 128)]
    for age, numbers in enumerate(groups):
        features = cache.features_of(NETWORK, keys(numbers), Counting(numbers))
        for path in (cache.folder / NETWORK).glob("*.rows"):
            if path.stat().st_mtime > time.time() - 1000:
                os.utime(path, times=(time.time() - 9000 + 1000 * age,) * 2)
    cache.features_of(NETWORK, keys(groups[0]), Counting(groups[0]))  # the oldest is used again
    size = cache.usage()[0].size
    small = FeatureCache(cache.folder, limit=size - 1)
    small.features_of("vit", keys(range(1)), Counting(range(1)))
    assert sum(usage.size for usage in small.usage()) <= size - 1
    left = Counting(range(192))
    again = cache.features_of(NETWORK, keys(range(192)), left)
    assert left.asked == list(groups[1])
    np.testing.assert_array_equal(again.rows(), kept(range(192)))
    np.testing.assert_array_equal(features.rows(), kept(groups[2]))


def test_a_limit_below_one_call_removes_what_it_wrote(tmp_path: Path) -> None:
    tiny = FeatureCache(tmp_path, limit=10)
    features = tiny.features_of(NETWORK, keys(range(3)), Counting(range(3)))
    assert tiny.usage() == []
    np.testing.assert_array_equal(features.rows(), kept(range(3)))


def test_empty_removes_everything(cache: FeatureCache) -> None:
    cache.features_of(NETWORK, keys(range(3)), Counting(range(3)))
    cache.features_of("vit", keys(range(3)), Counting(range(3)))
    size = sum(usage.size for usage in cache.usage())
    assert cache.empty() == size > 0
    assert cache.usage() == []
    assert list(cache.folder.iterdir()) == []
    assert cache.features_of(NETWORK, keys(range(3)), Counting(range(3))).computed == 3


def test_progress_reaches_the_end(cache: FeatureCache) -> None:
    cache.features_of(NETWORK, keys(range(10)), Counting(range(10)))
    seen: list[tuple[int, int]] = []
    cache.features_of(
        NETWORK, keys(range(100)), Counting(range(100)), on_row=lambda *step: seen.append(step)
    )
    assert seen == [(10, 100), (74, 100), (100, 100)]


SLOW = """
import sys, time
from pathlib import Path
from tests.data.test_feature_cache import *

class Slow(Counting):
    def __call__(self, positions):
        time.sleep(float(sys.argv[2]))
        return super().__call__(positions)

numbers = range(int(sys.argv[3]), int(sys.argv[4]))
features = FeatureCache(Path(sys.argv[1])).features_of(NETWORK, keys(numbers), Slow(numbers))
np.testing.assert_array_equal(features.rows(), kept(numbers))
print(features.computed)
"""


def slow(cache: FeatureCache, pause: float, numbers: range) -> "subprocess.Popen[str]":
    words = [str(cache.folder), str(pause), str(numbers.start), str(numbers.stop)]
    return subprocess.Popen(
        [sys.executable, "-c", SLOW, *words],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        text=True,
    )


def wait_for(there: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not there():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.skipif(sys.platform == "win32", reason="a process cannot be killed so")
def test_a_killed_process_loses_no_written_row(cache: FeatureCache) -> None:
    process = slow(cache, 0.1, range(6400))
    wait_for(lambda: any(usage.rows >= 128 for usage in cache.usage()))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    written = cache.usage()[0].rows
    assert 128 <= written < 6400
    rest = Counting(range(6400))
    features = cache.features_of(NETWORK, keys(range(6400)), rest)
    assert rest.asked == list(range(written, 6400))
    assert features.remarks == ()
    np.testing.assert_array_equal(features.rows(), kept(range(6400)))
    assert rows_file(cache).exists()  # the lock of the killed process is gone: one file still


def test_two_processes_at_once(cache: FeatureCache) -> None:
    both = [slow(cache, 0.02, numbers) for numbers in (range(1000), range(500, 1500))]
    computed = [int(process.communicate(timeout=60)[0]) for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sum(computed) >= 1500
    after = Counting(range(1500))
    features = cache.features_of(NETWORK, keys(range(1500)), after)
    assert (after.asked, features.remarks) == ([], ())
    np.testing.assert_array_equal(features.rows(), kept(range(1500)))


def test_pixel_keys_differ_where_pixels_or_shapes_do() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (70, 3, 4, 4), dtype=np.uint8)
    source = Source("a", pixels, np.zeros(70, dtype=np.int64), ("x",))
    found = pixel_keys(source)
    assert len(set(found)) == 70
    assert pixel_keys(source.take(np.array([69, 0]))) == [found[69], found[0]]
    flat = Source("b", pixels.reshape(70, 3, 2, 8), source.labels, ("x",))
    assert not set(pixel_keys(flat)) & set(found)
    pixels[3, 2, 1, 0] ^= 1
    changed = pixel_keys(source)
    assert [i for i in range(70) if changed[i] != found[i]] == [3]


def test_the_folder_follows_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(feature_cache.LOCATION, str(tmp_path / "mine"))
    assert cache_folder() == tmp_path / "mine"
    assert FeatureCache().folder == tmp_path / "mine" / "features"
    monkeypatch.delenv(feature_cache.LOCATION)
    assert "knowbound" in str(cache_folder()).lower()
