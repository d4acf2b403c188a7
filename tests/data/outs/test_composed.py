"""Composed outs: what stays, what changes, and that they repeat."""

import numpy as np
import pytest

from knowbound.data.outs.composed import composed_images
from knowbound.data.source import Source


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


def test_float_images_are_taken_too() -> None:
    source = plain()
    floats = Source(
        "f", source.pixels[:].astype(np.float32) / 255, source.labels, source.class_names
    )
    ours, theirs = (
        composed_images(s, 20, np.random.default_rng(0)).images(slice(None)).astype(int)
        for s in (source, floats)
    )
    assert np.abs(ours - theirs).max() <= 1


def test_none_and_what_cannot_be() -> None:
    assert len(composed_images(plain(), 0, np.random.default_rng(0))) == 0
    with pytest.raises(ValueError, match="at least two classes"):
        composed_images(plain(classes=1), 4, np.random.default_rng(0))
