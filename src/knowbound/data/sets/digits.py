"""The handwritten digits that come with scikit-learn: nothing to download."""

import numpy as np

from knowbound.data.source import Source


def read_digits() -> Source:
    """1,797 real handwritten digits, (1797, 1, 8, 8) uint8, class names "0".."9".

    They are scans of 43 people's writing (the test part of the "Optical Recognition of Handwritten
    Digits" set), counted down to 8 x 8 pixels of 0..16 by their makers; here 16 becomes 255.
    """
    from sklearn.datasets import load_digits

    data = load_digits()
    pixels = np.rint(data.images * (255 / 16)).astype(np.uint8)[:, None]
    return Source("digits", pixels, data.target.astype(np.int64), tuple("0123456789"))
