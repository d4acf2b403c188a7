"""Which images go together."""

from collections.abc import Callable

import numpy as np
import pytest

from knowbound.errors import UserError
from knowbound.objectives.batches import (
    AuthorsBatches,
    BalancedBatches,
    RandomBatches,
    RandomBatchesWithOuts,
    draw,
    group_indices,
    shares,
)

LABELS = np.repeat(np.array([0, 1, 2, -1, -2]), [50, 5, 300, 400, 40])


def counts(indices: np.ndarray) -> dict[int, int]:
    values, numbers = np.unique(LABELS[indices], return_counts=True)
    return dict(zip(values.tolist(), numbers.tolist(), strict=True))


def test_groups_are_the_classes_and_the_out_sets() -> None:
    classes, outs = group_indices(LABELS)
    assert [set(LABELS[g]) for g in classes] == [{0}, {1}, {2}]
    assert [set(LABELS[g]) for g in outs] == [{-1}, {-2}]


def test_balanced_batches_hold_every_class_and_out_set_equally() -> None:
    batches = BalancedBatches(images=30, outs=20).plan(LABELS, seed=0)
    for step in range(5):
        assert counts(batches[step]) == {0: 10, 1: 10, 2: 10, -1: 10, -2: 10}


def test_out_sets_of_any_number_and_size_are_drawn_equally() -> None:
    """More sets than places in a batch: over as many steps as sets every set has the same."""
    sizes = [1, 2000, 3, 50, 400]
    labels = np.concatenate([[0, 1], *(np.full(n, -1 - k) for k, n in enumerate(sizes))])
    batches = BalancedBatches(images=2, outs=3).plan(labels, seed=0)
    drawn = np.concatenate([labels[batches[step]] for step in range(10, 10 + len(sizes))])
    assert np.unique(drawn[drawn < 0], return_counts=True)[1].tolist() == [3] * len(sizes)


def test_every_image_of_an_out_set_is_drawn_as_often_as_the_others() -> None:
    labels = np.repeat([0, 1, -1, -2], [40, 40, 10, 100])
    batches = BalancedBatches(images=8, outs=20).plan(labels, seed=0)
    drawn = np.bincount(np.concatenate([batches[step] for step in range(400)]), minlength=190)
    assert (drawn[80:90] == 400).all()  # the small set whole, in every batch
    assert drawn[90:].sum() == 4000  # the large one as often in all
    assert abs(drawn[90:] - 40).max() < 25


def test_one_class_and_out_sets_alone_fill_a_batch() -> None:
    labels = np.repeat([0, -1, -2], [3, 2, 9])
    batch = labels[BalancedBatches(images=6, outs=4).plan(labels, seed=0)[0]]
    assert np.unique(batch, return_counts=True)[1].tolist() == [2, 2, 6]


@pytest.mark.parametrize("sizes", [{"images": 0}, {"outs": -1}, {"per_class": 0}])
def test_balanced_batches_of_nothing_are_refused(sizes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"expected at least 1 .* 0 .* 1"):
        BalancedBatches(**sizes)


def test_balanced_batches_repeat_no_image_of_a_large_enough_class() -> None:
    batch = BalancedBatches(images=30, outs=20).plan(LABELS, seed=0)[0]
    large = batch[LABELS[batch] != 1]
    assert len(set(large.tolist())) == len(large)
    small = batch[LABELS[batch] == 1]
    assert np.unique(small, return_counts=True)[1].tolist() == [2, 2, 2, 2, 2]


def test_balanced_batches_of_many_classes_take_enough_of_each_to_form_pairs() -> None:
    labels = np.repeat(np.arange(100), 20)
    batch = BalancedBatches(images=64, per_class=4).plan(labels, seed=0)[3]
    assert np.unique(labels[batch], return_counts=True)[1].tolist() == [4] * 16


@pytest.mark.parametrize(
    "rule",
    [
        lambda: RandomBatches(0),
        lambda: AuthorsBatches(images=1),
        lambda: AuthorsBatches(images=0),
        lambda: AuthorsBatches(same=2.0),
    ],
)
def test_numbers_that_give_no_batch_are_refused_at_once(rule: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match="were asked for; expected"):
        rule()


def test_every_class_gets_its_turn() -> None:
    labels = np.repeat(np.arange(100), 20)
    batches = BalancedBatches(images=64, per_class=4).plan(labels, seed=0)
    assert len({int(c) for step in range(60) for c in labels[batches[step]]}) == 100


@pytest.mark.parametrize(
    "rule", [BalancedBatches(), AuthorsBatches(images=64), RandomBatches(), RandomBatchesWithOuts()]
)
def test_a_step_depends_on_seed_and_step_alone(rule: BalancedBatches) -> None:
    forward, resumed = rule.plan(LABELS, seed=3), rule.plan(LABELS, seed=3)
    expected = [forward[step] for step in range(12)]
    np.testing.assert_array_equal(resumed[11], expected[11])
    assert not np.array_equal(rule.plan(LABELS, seed=4)[11], expected[11])


def test_authors_batches_have_a_quarter_of_same_class_pairs_and_outs_in_every_second() -> None:
    batches, apart = AuthorsBatches(images=1024).plan(LABELS, seed=0), set()
    for step in range(4):
        left, right = np.split(LABELS[batches[step]], 2)
        assert (left >= 0).all()
        assert ((left == right).sum(), (right < 0).sum()) == (128, 256 if step % 2 else 0)
        np.testing.assert_array_equal(
            np.flatnonzero(right < 0), np.arange(256, 512) if step % 2 else []
        )
        apart |= {
            pair
            for pair in zip(left.tolist(), right.tolist(), strict=True)
            if pair[1] >= 0 and pair[0] != pair[1]
        }
    assert apart == {
        (a, b) for a in range(3) for b in range(3) if a != b
    }  # every other class is a partner


def test_random_batches_show_every_in_image_once_an_epoch_and_no_out_image() -> None:
    batches = RandomBatches(images=71).plan(LABELS, seed=0)  # 355 in images: five batches an epoch
    for epoch in range(3):
        seen = np.sort(np.concatenate([batches[step] for step in range(5 * epoch, 5 * epoch + 5)]))
        np.testing.assert_array_equal(seen, np.arange(355))


def test_random_batches_larger_than_the_set_wrap_into_further_epochs() -> None:
    batch = RandomBatches(images=1000).plan(LABELS, seed=0)[1]
    assert set(np.unique(batch, return_counts=True)[1].tolist()) <= {2, 3, 4}


def test_random_batches_with_outs_show_every_in_and_every_out_image_once_an_epoch_of_its_own() -> (
    None
):
    batches = RandomBatchesWithOuts(images=71, outs=88).plan(
        LABELS, seed=0
    )  # 355 in and 440 out images: five batches each
    for epoch in range(3):
        steps = [batches[step] for step in range(5 * epoch, 5 * epoch + 5)]
        np.testing.assert_array_equal(
            np.sort(np.concatenate([b[:71] for b in steps])), np.arange(355)
        )
        np.testing.assert_array_equal(
            np.sort(np.concatenate([b[71:] for b in steps])), np.arange(355, 795)
        )


def test_random_batches_with_outs_have_the_in_images_of_random_batches_and_another_order_of_outs() -> (
    None
):
    labels = np.repeat([0, 1, -1, -2], [30, 30, 40, 20])  # as many in as out images
    both, plain = (
        RandomBatchesWithOuts(images=20, outs=20).plan(labels, seed=3),
        RandomBatches(images=20).plan(labels, seed=3),
    )
    for step in range(7):
        np.testing.assert_array_equal(both[step][:20], plain[step])
        assert not np.array_equal(both[step][20:] - 60, plain[step])


def test_random_batches_with_outs_wrap_a_small_out_set() -> None:
    batches = RandomBatchesWithOuts(images=4, outs=5).plan(np.array([0, 1, -1, -1]), seed=0)
    drawn = np.concatenate([batches[step][4:] for step in range(4)])
    assert np.unique(drawn, return_counts=True)[1].tolist() == [10, 10]


def test_random_batches_with_outs_need_outs() -> None:
    with pytest.raises(UserError, match="no image of none of the classes"):
        RandomBatchesWithOuts().plan(np.array([0, 1]), seed=0)
    with pytest.raises(ValueError, match="above 0"):
        RandomBatchesWithOuts(outs=0)


def test_shares_are_whole_and_take_turns() -> None:
    assert [shares(8, 3, step) for step in range(3)] == [[3, 3, 2], [2, 3, 3], [3, 2, 3]]
    assert sum(shares(128, 39, 5)) == 128


def test_draw_repeats_as_evenly_as_it_can() -> None:
    drawn = draw(np.arange(3), 8, np.random.default_rng(0))
    assert sorted(np.unique(drawn, return_counts=True)[1].tolist()) == [2, 3, 3]


@pytest.mark.parametrize(
    "rule", [BalancedBatches(), AuthorsBatches(), RandomBatches(), RandomBatchesWithOuts()]
)
def test_no_class_to_learn_is_a_clear_error(rule: BalancedBatches) -> None:
    with pytest.raises(UserError, match="expected at least two classes"):
        rule.plan(np.full(10, -1), seed=0)
