"""Synthetic anomalies: their kinds and shares, every shape, and that they repeat."""

import numpy as np
import pytest
from PIL import Image

from knowbound.data.outs.anomalies import (
    anomaly_images,
    blocks,
    changed_patch,
    gaussian,
    patch,
    uniform,
    usual_anomalies,
)
from knowbound.data.outs.patches import sample_photographs


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (3, 8, 20), (1, 150, 90)])
def test_every_shape(shape: tuple[int, int, int]) -> None:
    source = anomaly_images(shape, 16, np.random.default_rng(0))
    assert not isinstance(source.pixels, np.ndarray)
    assert source.image_shape == shape
    assert (source.labels == -1).all()
    images = source.images(slice(None))
    assert images.dtype == np.uint8
    assert (images.reshape(16, -1).std(axis=1) > 0).sum() >= 14  # a patch may be one of white sky


def test_shares_of_the_kinds() -> None:
    images = anomaly_images((3, 32, 32), 1200, np.random.default_rng(0)).images(slice(None))
    extreme = np.isin(images, (0, 255)).mean(axis=(1, 2, 3))  # 62% of Gaussian noise
    across = np.abs(np.diff(images.astype(float), axis=3))
    blocky = (across == 0).mean(axis=(1, 2, 3)) > 0.7
    assert (extreme[~blocky] > 0.55).sum() in range(100, 110)  # some changed patches too
    assert (blocky & (across.max(axis=(1, 2, 3)) > 60)).sum() in range(100, 115)
    even = across.mean(axis=(1, 2, 3))  # of two uniform values 85
    assert ((even > 82) & (even < 88) & (extreme < 0.02)).sum() in range(97, 104)


def test_each_kind_is_what_it_says() -> None:
    rng = np.random.default_rng(0)
    noise = gaussian((3, 64, 64), rng)
    assert abs((noise == 0).mean() - 0.3085) < 0.02
    assert abs((noise == 255).mean() - 0.3085) < 0.02
    assert abs(uniform((3, 64, 64), rng).mean() - 127.5) < 3
    cells = blocks((1, 24, 36), rng)[0]
    rows = np.flatnonzero((np.diff(cells.astype(int), axis=0) != 0).any(axis=1))
    assert 1 <= len(rows) <= 7


def test_a_patch_is_a_piece_of_a_photograph() -> None:
    """Of the size in which it was cut, its pixels stand in one of the two photographs."""
    for seed in range(200):
        rng = np.random.default_rng(seed)
        side, which = int(rng.integers(32, 128, endpoint=True)), rng.integers(2)
        if side != 32:
            continue
        image = patch((3, 32, 32), np.random.default_rng(seed)).transpose(1, 2, 0)
        photograph = sample_photographs()[which]
        places = np.argwhere((photograph[:-31, :-31] == image[0, 0]).all(axis=2))
        assert any((photograph[r : r + 32, c : c + 32] == image).all() for r, c in places)
        return
    raise AssertionError("no seed cut a square of 32 pixels; try more seeds")


def test_a_grey_patch_is_the_luma_of_a_colour_one() -> None:
    colour, grey = (patch((c, 20, 20), np.random.default_rng(5)).astype(float) for c in (3, 1))
    luma = np.tensordot([0.299, 0.587, 0.114], colour, axes=1)
    assert np.abs(grey[0] - luma).max() <= 1


def test_a_changed_patch_is_a_patch_in_other_colours_and_in_another_position() -> None:
    """Undone step by step, with the same draws, it is the square that was cut."""
    shape = (3, 24, 24)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        side = int(np.exp(rng.uniform(np.log(16), np.log(400))))
        photograph = Image.fromarray(sample_photographs()[rng.integers(2)])
        left = int(rng.integers(photograph.width - side, endpoint=True))
        top = int(rng.integers(photograph.height - side, endpoint=True))
        cut = photograph.crop((left, top, left + side, top + side)).resize(
            (24, 24), Image.Resampling.BILINEAR
        )
        quarters, mirrored = int(rng.integers(4)), int(rng.choice([-1, 1])) < 0
        order = rng.permutation(3)
        expected = np.asarray(cut, dtype=float)
        if mirrored:
            expected = expected[:, ::-1]
        expected = np.rot90(expected, quarters)[:, :, order]
        made = changed_patch(shape, np.random.default_rng(seed)).transpose(1, 2, 0).astype(float)
        free = (made > 1) & (made < 254)  # not clipped
        whole = free.all(axis=2)
        if whole.sum() < 60 or expected[whole].mean(axis=1).std() < 5:
            continue
        grey, found = expected[whole].mean(axis=1), made[whole].mean(axis=1)
        assert np.corrcoef(grey, found)[0, 1] > 0.99
    assert changed_patch((1, 20, 30), np.random.default_rng(0)).shape == (1, 20, 30)


def test_the_usual_ones_are_made_once_where_they_are_small() -> None:
    expected = anomaly_images((1, 12, 12), 30, np.random.default_rng(0)).images(slice(None))
    usual = usual_anomalies((1, 12, 12), 30)
    assert usual is usual_anomalies((1, 12, 12), 30)
    assert isinstance(usual.pixels, np.ndarray)
    assert (usual.pixels == expected).all()
    assert not isinstance(usual_anomalies((3, 400, 400), 90).pixels, np.ndarray)  # 43 MB


def test_same_seed_same_images() -> None:
    first, again, other = (
        anomaly_images((1, 9, 9), 40, np.random.default_rng(s)) for s in (1, 1, 2)
    )
    whole = first.images(slice(None))
    assert (again.images(slice(None)) == whole).all()
    assert (other.images(slice(None)) != whole).any()
    chosen = np.array([39, 0, 0])
    assert (first.take(chosen).images(slice(None)) == whole[chosen]).all()
    assert len(anomaly_images((1, 9, 9), 0, np.random.default_rng(0))) == 0
