"""LeNet's sizes."""

import pytest

from knowbound.backbones import LeNet


def test_number_of_weights_is_that_of_the_common_mnist_lenet() -> None:
    assert sum(p.numel() for p in LeNet(10).parameters()) == 431_080


def test_small_images_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 16 x 16"):
        LeNet(10, height=8, width=8)
