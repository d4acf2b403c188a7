import numpy as np
import pytest
from sklearn.datasets import load_sample_images

from knowbound.data.outs.patches import photograph_patches, sample_photographs
from knowbound.errors import UserError
from knowbound.labels import OUT


def coordinates(height: int, width: int) -> np.ndarray:
    """A picture whose red is its row and whose green is its column, so that a patch tells where it
    was cut."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows, columns, np.full_like(rows, 200)], axis=2).astype(np.uint8)


def test_patches_are_squares_of_many_sides_and_places() -> None:
    source = photograph_patches([coordinates(120, 250)], 400, 8, np.random.default_rng(0))
    assert (len(source), source.image_shape, source.pixels.dtype) == (400, (3, 8, 8), np.uint8)
    assert source.name == "photograph patches"
    assert source.labels.tolist() == [OUT] * 400
    images = source.images(slice(None)).astype(float)
    assert (images[:, 2] == 200).all(), "RGB in this order, and nothing from outside the picture"
    height = (images[:, 0, -1] - images[:, 0, 0]).mean(axis=1) * 8 / 7  # rows that the patch spans
    width = (images[:, 1, :, -1] - images[:, 1, :, 0]).mean(axis=1) * 8 / 7
    assert np.abs(height - width).max() < 3, "squares"
    assert height.min() < 11
    assert 28 < height.max() < 36, "sides of 8..32"
    centre_row, centre_column = images[:, 0].mean(axis=(1, 2)), images[:, 1].mean(axis=(1, 2))
    assert centre_row.min() < 15
    assert centre_row.max() > 105
    assert centre_column.min() < 20
    assert centre_column.max() > 230


def test_a_patch_of_the_pictures_own_size_is_the_picture() -> None:
    picture = np.random.default_rng(1).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    images = photograph_patches([picture], 2, 12, np.random.default_rng(0)).images(slice(None))
    for image in images:
        np.testing.assert_array_equal(image, picture.transpose(2, 0, 1))


def test_shrinking_is_antialiased() -> None:
    stripes = np.zeros((256, 256, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    images = (
        photograph_patches([stripes], 60, 8, np.random.default_rng(0))
        .images(slice(None))
        .astype(float)
    )
    spread = images.std(axis=(1, 2, 3))
    assert np.median(spread) < 20, "stripes finer than a pixel become grey, not new stripes"


def test_every_photograph_is_used_and_the_seed_decides() -> None:
    pictures = [np.full((40, 30, 3), value, dtype=np.uint8) for value in (10, 100, 250)]
    images = photograph_patches(pictures, 300, 10, np.random.default_rng(0)).images(slice(None))
    values, counts = np.unique(images[:, 0, 0, 0], return_counts=True)
    assert values.tolist() == [10, 100, 250]
    assert counts.min() > 70
    first, again, other = (
        photograph_patches(pictures, 9, 10, np.random.default_rng(seed)) for seed in (5, 5, 6)
    )
    assert first.sha256() == again.sha256() != other.sha256()


def test_what_cannot_be_cut() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(UserError, match="no photograph"):
        photograph_patches([], 1, 8, rng)
    with pytest.raises(UserError, match="20 x 7 pixels; expected at least 8 x 8"):
        photograph_patches([coordinates(7, 20)], 1, 8, rng)
    for wrong in (
        np.zeros((9, 9), np.uint8),
        np.zeros((9, 9, 4), np.uint8),
        np.zeros((9, 9, 3), np.float32),
    ):
        with pytest.raises(ValueError, match=r"expected uint8 of shape \(H, W, 3\)"):
            photograph_patches([wrong], 1, 8, rng)
    assert len(photograph_patches([coordinates(9, 9)], 0, 8, rng)) == 0


def test_the_bundled_photographs() -> None:
    photographs = sample_photographs()
    assert [(photo.shape, photo.dtype) for photo in photographs] == [((427, 640, 3), np.uint8)] * 2
    assert min(photo.std() for photo in photographs) > 30
    assert len(photograph_patches(photographs, 20, 32, np.random.default_rng(0))) == 20


def test_the_photographs_are_those_scikit_learn_gives() -> None:
    expected = load_sample_images().images
    for ours, theirs in zip(sample_photographs(), expected, strict=True):
        assert np.array_equal(ours, theirs)
