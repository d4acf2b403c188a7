"""Whole groups on one side of a hold-out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knowbound.data.group_hold_out import hold_out_groups
from knowbound.errors import UserError


@given(st.integers(0, 2**32 - 1), st.integers(2, 5), st.integers(4, 12), st.floats(0.05, 0.6))
@settings(max_examples=60, deadline=None)
def test_no_group_is_on_both_sides_and_each_class_gives_and_keeps(
    seed: int, classes: int, groups: int, share: float
) -> None:
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 4, classes * groups)
    ids = np.repeat(np.arange(classes * groups), sizes)
    labels = (ids % classes).astype(np.int64)
    held = hold_out_groups(labels, ids, share, rng)
    kept = np.setdiff1d(np.arange(len(labels)), held)
    assert not set(ids[held]) & set(ids[kept])
    for label in range(classes):
        assert (labels[held] == label).any()
        assert (labels[kept] == label).sum() >= 2
    of_class = [len(set(ids[held][labels[held] == label])) for label in range(classes)]
    wanted = max(1, round(share * groups))
    assert all(count <= max(wanted, 1) for count in of_class)


def test_without_groups_a_share_of_each_class_is_drawn() -> None:
    labels = np.repeat(np.arange(3), [10, 20, 40]).astype(np.int64)
    held = hold_out_groups(labels, None, 0.2, np.random.default_rng(0))
    assert np.bincount(labels[held]).tolist() == [2, 4, 8]


def test_more_of_the_largest_class_until_there_are_enough() -> None:
    labels = np.repeat(np.arange(2), [10, 40]).astype(np.int64)
    held = hold_out_groups(labels, None, 0.1, np.random.default_rng(0), least=19)
    assert len(held) == 19


@pytest.mark.parametrize(
    ("counts", "least", "words"),
    [([2, 9], 0, "too few usable images of 0"), ([5, 5], 19, "at most 6 can be held out")],
)
def test_too_few_is_one_sentence(counts: list[int], least: int, words: str) -> None:
    labels = np.repeat(np.arange(2), counts).astype(np.int64)
    with pytest.raises(UserError, match=words):
        hold_out_groups(labels, None, 0.3, np.random.default_rng(0), least)


def test_a_class_in_one_group_cannot_be_split() -> None:
    labels = np.repeat(np.arange(2), [6, 6]).astype(np.int64)
    groups = np.concatenate([np.zeros(6, int), np.arange(1, 7)])
    with pytest.raises(UserError, match="in at least 2 groups"):
        hold_out_groups(labels, groups, 0.3, np.random.default_rng(0))
