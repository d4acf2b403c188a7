"""Whole groups on one side of a hold-out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from knowbound.data.group_hold_out import draw_share, hold_out_groups
from knowbound.errors import UserError

Indices = NDArray[np.int64]


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


def literal_hold_out(labels: Indices, share: float, seed: int, least: int) -> Indices:
    """One image after another, as earlier versions drew them; models stay reproducible."""
    rng, counts = np.random.default_rng(seed), np.bincount(labels)
    wanted = [min(max(1, int(np.rint(share * n))), n - 2) for n in counts]
    while sum(wanted) < min(least, sum(n - 2 for n in counts)):
        wanted[int(np.argmax([n - w for n, w in zip(counts, wanted, strict=True)]))] += 1
    taken = [
        rng.choice(np.flatnonzero(labels == label), number, replace=False)
        for label, number in enumerate(wanted)
    ]
    return np.sort(np.concatenate(taken))


@pytest.mark.parametrize("seed", range(20))
def test_single_images_are_drawn_as_ever(seed: int) -> None:
    rng = np.random.default_rng(seed + 100)
    labels = rng.permutation(np.repeat(np.arange(4), rng.integers(3, 60, 4)))
    share, least = float(rng.uniform(0.05, 0.9)), int(rng.integers(0, len(labels) - 8))
    expected = literal_hold_out(labels, share, seed, least)
    for groups in (None, np.arange(len(labels)), rng.permutation(len(labels))):
        found = hold_out_groups(labels, groups, share, np.random.default_rng(seed), least)
        assert found.tolist() == expected.tolist()


def test_the_numbers_of_groups_do_not_matter() -> None:
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 30, 90)
    labels = (ids % 3).astype(np.int64)
    renamed = rng.permutation(1000)[ids] - 500
    one, other = (
        hold_out_groups(labels, groups, 0.3, np.random.default_rng(4)) for groups in (ids, renamed)
    )
    assert one.tolist() == other.tolist()


@pytest.mark.parametrize("seed", range(30))
def test_groups_of_several_classes_stay_whole(seed: int) -> None:
    """Patients with images of every class."""
    rng = np.random.default_rng(seed)
    patients, labels = rng.integers(0, 40, 300), rng.choice(3, 300, p=[0.8, 0.15, 0.05])
    held = hold_out_groups(labels, patients, 0.2, rng, least=19)
    kept = np.setdiff1d(np.arange(300), held)
    assert not set(patients[held]) & set(patients[kept])
    assert len(set(patients[held])) >= 19
    assert (np.bincount(labels[kept], minlength=3) >= 2).all()
    assert (np.bincount(labels[held], minlength=3) >= 1).all()


def test_of_two_groups_the_one_that_leaves_enough_is_held_out() -> None:
    labels = np.zeros(5, np.int64)
    for seed in range(10):
        held = hold_out_groups(labels, np.array([7, 7, 7, 7, 3]), 0.5, np.random.default_rng(seed))
        assert held.tolist() == [4]


def test_groups_that_cannot_be_parted_are_named() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(UserError, match=r"of cat \(5 in 1 group\).* at least 2 groups"):
        hold_out_groups(np.zeros(5, np.int64), np.ones(5, np.int64), 0.3, rng, class_names=["cat"])
    # without the first group one cat is left, without the second one dog
    labels = np.repeat([0, 0, 1, 1], [5, 1, 1, 2])
    groups = np.repeat([1, 2, 1, 2], [5, 1, 1, 2])
    with pytest.raises(UserError, match="no group of cat, dog can be held out"):
        hold_out_groups(labels, groups, 0.5, rng, class_names=["cat", "dog"])
    more = np.append(labels, 1), np.append(groups, 1)
    assert hold_out_groups(*more, 0.5, rng, class_names=["cat", "dog"]).tolist() == [5, 7, 8]
    with pytest.raises(UserError, match="40 images in 10 groups at most 9 groups .*least 19 .*0.9"):
        hold_out_groups(np.zeros(40, np.int64), np.arange(40) % 10, 0.3, rng, least=19)
    with pytest.raises(UserError, match="a held-out share of 1.5"):
        hold_out_groups(np.zeros(40, np.int64), None, 1.5, rng)


def test_a_share_of_each_class_rounded_down_is_drawn_in_whole_groups() -> None:
    labels = np.repeat([0, 1, 2], [12, 6, 3])
    groups = np.arange(21) // 3  # 4, 2 and 1 groups
    drawn = draw_share(labels, groups, 0.5, np.random.default_rng(0))
    assert np.bincount(labels[drawn], minlength=3).tolist() == [6, 3, 0]
    assert all((groups == group).sum() == 3 for group in np.unique(groups[drawn]))
    assert len(np.unique(groups[drawn])) == 3
    assert not len(draw_share(labels, groups, 0.2, np.random.default_rng(0)))
    assert not len(draw_share(labels[:0], groups[:0], 0.5, np.random.default_rng(0)))
