"""Augmentation against slow computations of single images."""

import numpy as np
import pytest
import torch

from knowbound.data.augmentation import Augmentation


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_every_image_is_shifted_whole_pixels_with_edges_repeated() -> None:
    images = torch.rand(50, 3, 6, 7)
    shifted = Augmentation(shift=2)(images, generator())
    moves = []
    for image, result in zip(images.numpy(), shifted.numpy(), strict=True):
        padded = np.pad(image, ((0, 0), (2, 2), (2, 2)), mode="edge")
        fits = [
            (r, c)
            for r in range(5)
            for c in range(5)
            if np.array_equal(padded[:, r : r + 6, c : c + 7], result)
        ]
        assert fits
        moves.append(fits[0])
    assert len(set(moves)) > 15


def test_a_turn_of_a_centred_disc_changes_nothing_and_of_a_bar_does() -> None:
    rows, columns = torch.meshgrid(torch.arange(33.0), torch.arange(33.0), indexing="ij")
    disc = torch.exp(-((rows - 16) ** 2 + (columns - 16) ** 2) / 20).expand(5, 1, 33, 33)
    bar = torch.exp(-((columns - 16) ** 2) / 4).expand(5, 1, 33, 33)
    turn = Augmentation(rotation=40.0)
    assert (turn(disc, generator()) - disc).abs().max() < 0.02
    assert (turn(bar, generator()) - bar).abs().max() > 0.3


def test_light_keeps_the_range_and_changes_the_mean() -> None:
    images = torch.rand(20, 3, 8, 8)
    changed = Augmentation(brightness=0.5, contrast=0.5)(images, generator())
    assert changed.min() >= 0
    assert changed.max() <= 1
    assert (changed.mean(dim=(1, 2, 3)) - images.mean(dim=(1, 2, 3))).abs().max() > 0.05


@pytest.mark.parametrize("rule", [Augmentation(2), Augmentation(2, 10.0, 0.1, 0.2, 0.2)])
def test_same_generator_same_images(rule: Augmentation) -> None:
    images = torch.rand(4, 1, 16, 16)
    assert torch.equal(rule(images, generator()), rule(images, generator()))


def test_nothing_asked_for_nothing_done() -> None:
    images = torch.rand(4, 1, 16, 16)
    assert Augmentation()(images, generator()) is images
