"""Composed images: what stays, what changes, and that they repeat."""

import numpy as np
import pytest

from knowbound.data.outs.composed import composed_images
from knowbound.data.source import Source

MEANS = [160.4052734375, 66.8720703125, 166.4443359375, 132.6083984375, 70.5224609375]
"""Of images 0, 1, 1023, 1024 and 2499 of seed 7."""


def plain(side: int = 32, classes: int = 4) -> Source:
    """Each class one grey level around, and another half-and-half in the middle."""
    images = np.empty((classes * 3, 3, side, side), dtype=np.uint8)
    labels = np.repeat(np.arange(classes), 3)
    for image, label in zip(images, labels, strict=True):
        image[:] = 50 * label
        image[:, 8:24, 8:16] = 200 + label
        image[:, 8:24, 16:24] = 220 + label
    return Source("plain", images, labels, tuple(map(str, range(classes))))


def test_surroundings_stay_and_the_middle_is_another() -> None:
    source = plain()
    out = composed_images(source, 200, np.random.default_rng(0))
    images = out.images(slice(None)).astype(int)
    assert images.shape == (200, 3, 32, 32)
    assert (out.labels == -1).all()
    ring = images[:, :, 0, :]
    assert {int(v) for v in np.unique(ring)} <= {0, 50, 100, 150}
    label = ring[:, 0, 0] // 50
    assert (np.bincount(label, minlength=4) > 25).all()  # classes equally often
    turned = images[0::2]
    middle = (
        turned[:, 0, 15:17, 15:17].reshape(len(turned), -1).max(axis=1)
    )  # 220 + label of the other class, or 200 + it
    assert ((middle % 20) != label[0::2]).all()
    upright = (turned[:, 0, 16, 14] < 215) & (
        turned[:, 0, 16, 18] > 215
    )  # dark left, light right, as in the source
    assert not upright.any()


def test_a_wiped_middle_holds_only_its_own_colours() -> None:
    wiped = (
        composed_images(plain(), 200, np.random.default_rng(1))
        .images(slice(None))[1::2]
        .astype(int)
    )
    label = wiped[:, 0, 0, 0] // 50
    centre = wiped[:, :, 15:17, 15:17]
    low, high = 200 + label[:, None, None, None], 220 + label[:, None, None, None]
    assert ((centre >= low) & (centre <= high)).all()


def test_same_seed_same_images() -> None:
    first, again, other = (
        composed_images(plain(), 10, np.random.default_rng(s)).images(slice(None))
        for s in (3, 3, 4)
    )
    assert (first == again).all()
    assert (first != other).any()


def test_float_images_stay_float() -> None:
    source = plain()
    pixels = source.images(slice(None)).astype(np.float32) / 255
    floats = Source("f", pixels, source.labels, source.class_names)
    ours, theirs = (
        composed_images(s, 20, np.random.default_rng(0)).images(slice(None))
        for s in (source, floats)
    )
    assert theirs.dtype == np.float32
    assert np.abs(ours / 255 - theirs).max() <= 0.51 / 255


@pytest.mark.parametrize(("height", "width"), [(32, 48), (48, 32), (9, 20)])
def test_oblong_images_change_in_the_middle_only(height: int, width: int) -> None:
    labels = np.repeat(np.arange(3, dtype=np.int64), 2)
    images = np.empty((6, 1, height, width), dtype=np.uint8)
    images[:] = 60 * (labels + 1)[:, None, None, None]
    source = Source("oblong", images, labels, ("a", "b", "c"))
    composed = composed_images(source, 40, np.random.default_rng(0)).images(slice(None))[:, 0]
    ring = composed[:, 0, 0][:, None, None]
    changed = composed != ring
    rows, columns = np.mgrid[0:height, 0:width]
    side = min(height, width)
    away = np.hypot(rows - height / 2, columns - width / 2)
    limit = 0.36 * side + np.hypot(side / 16, side / 16) + 1
    assert not changed[:, away > limit].any()
    assert changed[0::2, height // 2, width // 2].all()


def test_large_sets_are_made_when_asked_for() -> None:
    held = composed_images(plain(), 30, np.random.default_rng(5))
    made = composed_images(plain(), 30, np.random.default_rng(5), memory_limit=30 * 3 * 32**2 - 1)
    assert isinstance(held.pixels, np.ndarray)
    assert not isinstance(made.pixels, np.ndarray)
    chosen = np.array([29, 3, 3, 10])
    assert (made.images(chosen) == held.images(chosen)).all()
    assert (made.take(chosen).images(slice(None)) == held.images(chosen)).all()


def test_a_seed_means_the_same_images_as_in_the_published_rows() -> None:
    """Tables 1 and 2 have rows with composed images: the same seed must give the same ones."""
    many = composed_images(plain(), 2500, np.random.default_rng(7)).images(slice(None))
    means = many.mean(axis=(1, 2, 3))[[0, 1, 1023, 1024, 2499]]
    assert means == pytest.approx(MEANS)


def test_classes_without_images_are_passed_over() -> None:
    source = plain(classes=3)
    without = source.take(np.flatnonzero(source.labels != 1))
    composed = composed_images(without, 60, np.random.default_rng(0)).images(slice(None))
    assert set(np.unique(composed[:, 0, 0, 0])) == {0, 100}


def test_none_and_what_cannot_be() -> None:
    assert len(composed_images(plain(), 0, np.random.default_rng(0))) == 0
    with pytest.raises(ValueError, match="at least two classes"):
        composed_images(plain(classes=1), 4, np.random.default_rng(0))
