"""Copies and near copies: against every pair, and on what must not be joined."""

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from knowbound.data import copies
from knowbound.data.copies import AT_MOST, NEAR, fingerprints, near_pairs
from knowbound.data.source import Source

Bytes = NDArray[np.uint8]


def scenes(count: int, seed: int = 0, side: int = 32, channels: int = 3) -> Bytes:
    """(N, channels, side, side): soft random colours with some detail."""
    rng = np.random.default_rng(seed)
    images = [
        Image.fromarray(rng.integers(0, 256, (5, 5, 3), dtype=np.uint8)).resize(
            (side, side), Image.Resampling.BICUBIC
        )
        for _ in range(count)
    ]
    pixels = np.stack([np.asarray(image).transpose(2, 0, 1) for image in images])[:, :channels]
    return np.clip(pixels + rng.normal(0, 6, pixels.shape), 0, 255).astype(np.uint8)


def jpeg(image: Bytes, quality: int) -> Bytes:
    file = io.BytesIO()
    Image.fromarray(image.transpose(1, 2, 0)).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file)).transpose(2, 0, 1)


def source(pixels: NDArray[np.generic], labels: NDArray[np.int64] | None = None) -> Source:
    of = np.zeros(len(pixels), np.int64) if labels is None else labels
    return Source("s", pixels, of, tuple("abcdefgh"))


def found(given: Source) -> set[tuple[int, int]]:
    return {(int(a), int(b)) for a, b in near_pairs(fingerprints(given), given.labels)}


def slow_vector(image: Bytes) -> NDArray[np.float64]:
    """The thumbnail of a picture whose side is a multiple of 16, box by box."""
    box = image.shape[1] // 16
    small = np.array(
        [
            [
                [plane[box * r : box * r + box, box * c : box * c + box].mean() for c in range(16)]
                for r in range(16)
            ]
            for plane in image.astype(np.float64)
        ]
    )
    flat = (small - small.mean(axis=(1, 2), keepdims=True)).ravel()
    return np.asarray(flat / np.linalg.norm(flat))


def variants(seed: int = 0) -> tuple[Bytes, NDArray[np.int64]]:
    """60 pictures of two classes, and copies of some with noise of any strength."""
    rng = np.random.default_rng(seed)
    first = scenes(60, seed)
    labels = np.arange(60, dtype=np.int64) % 2
    which = rng.integers(0, 60, 120)
    strength = rng.uniform(1, 40, 120)[:, None, None, None]
    changed = first[which] + rng.normal(0, 1, (120, *first.shape[1:])) * strength
    pixels = np.concatenate([first, np.clip(changed, 0, 255).astype(np.uint8)])
    return pixels, np.concatenate([labels, labels[which]])


def test_near_pairs_are_all_pairs_within_the_radius(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels, labels = variants()
    vectors = [slow_vector(image) for image in pixels]
    distance = np.array([[np.linalg.norm(a - b) for b in vectors] for a in vectors])
    usual = [np.median(distance[np.ix_(labels == c, labels == c)]) for c in (0, 1)]
    radius = np.array([min(NEAR * usual[c], AT_MOST) for c in labels])
    limit = np.minimum(radius[:, None], radius[None])
    pairs = found(source(pixels, labels))
    every = {(a, b) for a in range(180) for b in range(a + 1, 180)}
    # the usual distance is that of a sample: pairs at the very limit may fall on either side
    surely = {p for p in every if distance[p] < 0.93 * limit[p]}
    perhaps = {p for p in every if distance[p] < 1.07 * limit[p]}
    assert surely <= pairs <= perhaps
    assert len(surely) > 30
    assert len(every - perhaps) > 15_000
    monkeypatch.setattr(copies, "TOGETHER", 1)  # many parts of 256 points or fewer
    monkeypatch.setattr(copies, "BLOCK", 16)
    assert found(source(pixels, labels)) == pairs


def test_parts_of_many_points_lose_no_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    first = scenes(400, side=16)
    pixels = np.concatenate([first, first[::-1] + (first[::-1] < 128).astype(np.uint8)])
    whole = found(source(pixels))
    assert whole == {(i, 799 - i) for i in range(400)}
    monkeypatch.setattr(copies, "TOGETHER", 1)
    assert found(source(pixels)) == whole


@pytest.mark.parametrize(
    ("change", "share"),
    [
        (lambda image: jpeg(image, 95), 0.95),
        (lambda image: np.clip(image.astype(int) + 15, 0, 255).astype(np.uint8), 0.95),
        (lambda image: (image * 0.85).astype(np.uint8), 1.0),
        (lambda image: 255 - image, 0.0),
        (lambda image: image[:, :, ::-1], 0.0),
        (lambda image: np.roll(image, 4, axis=2), 0.0),
    ],
    ids=["stored again", "brighter", "less contrast", "inverted", "mirrored", "moved"],
)
def test_what_is_the_same_picture(change: object, share: float) -> None:
    first = scenes(60)
    changed = np.stack([change(image) for image in first])  # type: ignore[operator]
    pairs = found(source(np.concatenate([first, changed])))
    assert sum((i, 60 + i) in pairs for i in range(60)) >= share * 60
    assert len(pairs - {(i, 60 + i) for i in range(60)}) == 0
    if share == 0:
        assert not pairs


def test_parts_under_one_camera_are_not_one_picture() -> None:
    """All alike within a few grey levels, yet each another part: only true copies are joined."""
    rng = np.random.default_rng(0)
    background = scenes(1, side=32).astype(np.float64)
    coarse = rng.normal(0, 5, (80, 3, 8, 8))
    parts = background + np.kron(coarse, np.ones((4, 4)))
    copied = parts[:10] + rng.normal(0, 0.5, parts[:10].shape)
    pixels = np.clip(np.concatenate([parts, copied]), 0, 255).round().astype(np.uint8)
    vectors = [slow_vector(image) for image in pixels[:80]]
    assert np.median([np.linalg.norm(a - b) for a in vectors for b in vectors]) < 0.25
    pairs = found(source(pixels))
    assert pairs == {(i, 80 + i) for i in range(10)}


def test_skies_are_not_one_picture() -> None:
    """Blue with a gradient of a few grey levels: between channels there is contrast, in none."""
    rng = np.random.default_rng(0)
    base = rng.normal([90, 140, 220], 5, (50, 3))[:, :, None, None]
    slope = np.linspace(-3, 3, 32)[None, None, :, None]
    pixels = (base + slope + rng.normal(0, 0.5, (50, 3, 32, 32))).round().astype(np.uint8)
    assert not found(source(pixels))


def test_equal_pictures_are_counted_once_and_numbers_in_0_1_work_as_bytes() -> None:
    pixels, labels = variants()
    pixels = np.concatenate([pixels, pixels[:20]])
    labels = np.concatenate([labels, labels[:20]])
    as_bytes = source(pixels, labels)
    as_numbers = source((pixels / np.float32(255)).astype(np.float32), labels)
    assert found(as_bytes) == found(as_numbers)
    assert max(max(pair) for pair in found(as_bytes)) < 180
    assert fingerprints(as_numbers).first.tolist() == [*range(180), *range(20)]


@pytest.mark.parametrize("count", [0, 1, 2])
@pytest.mark.parametrize("side", [1, 7, 16, 50])
def test_few_or_small_pictures(count: int, side: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (count, 1, side, side), dtype=np.uint8)
    prints = fingerprints(source(pixels))
    assert prints.first.tolist() == list(range(count))
    assert near_pairs(prints, np.zeros(count, np.int64)).shape == (0, 2)
