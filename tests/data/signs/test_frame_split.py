"""Holding out whole frames."""

from collections import Counter

import numpy as np
import pytest

from knowbound.data.signs.frame_split import hold_out_frames


def crops(seed: int, count: int = 400, frames: int = 250) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.choice(6, size=count, p=[0.5, 0.3, 0.1, 0.05, 0.03, 0.02]).astype(np.int64)
    return labels, rng.integers(0, frames, size=count).astype(np.str_)


@pytest.mark.parametrize("seed", range(8))
def test_a_frame_is_held_out_wholly_or_not_at_all_and_no_class_beyond_its_quota(seed: int) -> None:
    labels, frames = crops(seed)
    held_out = hold_out_frames(labels, frames, 0.1, np.random.default_rng(seed))
    assert not set(frames[held_out]) & set(frames[~held_out])
    for label, count in Counter(labels.tolist()).items():
        quota = max(round(0.1 * count), min(1, count - 1))
        assert (labels[held_out] == label).sum() <= quota
    assert 0.07 < held_out.mean() < 0.12


def test_frames_of_one_crop_give_every_class_its_quota_exactly() -> None:
    labels = np.repeat(np.arange(4), [100, 25, 2, 1])
    held_out = hold_out_frames(
        labels, np.arange(128).astype(np.str_), 0.2, np.random.default_rng(0)
    )
    assert np.bincount(labels[held_out], minlength=4).tolist() == [
        20,
        5,
        1,
        0,
    ]  # the only crop of a class is kept


def test_a_rare_class_is_not_forgotten_when_it_shares_its_frames_with_a_common_one() -> None:
    labels = np.array([0] * 95 + [0, 1] * 5)
    frames = np.array([f"a{i}" for i in range(95)] + [f"b{i // 2}" for i in range(10)])
    for seed in range(20):
        held_out = hold_out_frames(labels, frames, 0.1, np.random.default_rng(seed))
        assert (labels[held_out] == 1).sum() == 1


def test_the_same_generator_gives_the_same_frames_and_another_gives_others() -> None:
    labels, frames = crops(0)
    first, again, other = (
        hold_out_frames(labels, frames, 0.1, np.random.default_rng(s)) for s in (1, 1, 2)
    )
    assert (first == again).all()
    assert (first != other).any()


def test_nothing_to_hold_out() -> None:
    labels, frames = crops(0)
    assert not hold_out_frames(labels, frames, 0.0, np.random.default_rng(0)).any()
    assert hold_out_frames(labels[:0], frames[:0], 0.5, np.random.default_rng(0)).shape == (0,)
    with pytest.raises(ValueError, match="less than 1"):
        hold_out_frames(labels, frames, 1.0, np.random.default_rng(0))
