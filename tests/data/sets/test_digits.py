import numpy as np
from sklearn.datasets import load_digits

from knowbound.data.sets.digits import read_digits


def test_the_scans_are_scikit_learns_from_0_to_255() -> None:
    source, original = read_digits(), load_digits()
    assert (source.name, source.image_shape, source.pixels.dtype) == ("digits", (1, 8, 8), np.uint8)
    assert source.class_names == tuple("0123456789")
    assert source.labels.tolist() == original.target.tolist()
    images = source.images(slice(None))
    for index in (0, 17, 1796):
        for value, pixel in zip(original.data[index], images[index].ravel(), strict=True):
            assert pixel == round(value / 16 * 255)
    assert (images.min(), images.max()) == (0, 255)
