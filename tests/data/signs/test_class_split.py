"""Random splits of classes keep groups whole and come near the shares."""

from itertools import product

import numpy as np
import pytest

from knowbound.data.signs.class_split import part_sizes, split_classes

SHARES = (0.5, 0.2, 0.3)


def random_groups(rng: np.random.Generator) -> list[tuple[str, ...]]:
    sizes = rng.integers(1, 7, size=rng.integers(1, 12))
    return [tuple(f"g{group}c{i}" for i in range(size)) for group, size in enumerate(sizes)]


@pytest.mark.parametrize("seed", range(30))
def test_parts_are_disjoint_cover_everything_and_keep_groups_whole(seed: int) -> None:
    groups = random_groups(np.random.default_rng(seed))
    parts = split_classes(groups, SHARES, np.random.default_rng(seed + 1))
    placed = [name for part in parts for name in part]
    assert sorted(placed) == sorted(name for group in groups for name in group)
    for group in groups:
        assert sum(bool(set(group) & set(part)) for part in parts) == 1


def test_single_classes_fill_the_parts_exactly() -> None:
    for count in (0, 1, 2, 7, 10, 77):
        parts = split_classes(
            [(str(i),) for i in range(count)], SHARES, np.random.default_rng(count)
        )
        assert [len(part) for part in parts] == part_sizes(count, SHARES).tolist()


def test_small_groups_fill_the_gaps_that_large_ones_leave() -> None:
    groups = [
        tuple(f"{g}{i}" for i in range(size)) for g, size in enumerate((9, 4, 3, 2, *[1] * 12))
    ]
    for seed in range(50):
        parts = split_classes(groups, SHARES, np.random.default_rng(seed))
        assert [len(part) for part in parts] == [15, 6, 9]


def test_a_group_too_large_for_every_part_goes_where_most_room_is() -> None:
    parts = split_classes([tuple("abcdefgh"), ("x",), ("y",)], SHARES, np.random.default_rng(0))
    assert set("abcdefgh") <= set(parts[0])


def test_splits_differ_by_seed_and_repeat_for_the_same_seed() -> None:
    groups = [(str(i),) for i in range(20)]
    splits = {split_classes(groups, SHARES, np.random.default_rng(seed)) for seed in range(10)}
    assert len(splits) == 10
    assert split_classes(groups, SHARES, np.random.default_rng(3)) in splits


def test_each_class_comes_into_each_part_about_as_often_as_its_share() -> None:
    groups = [(str(i),) for i in range(10)]
    inside = np.zeros((10, 3))
    for seed in range(2000):
        for part, names in enumerate(split_classes(groups, SHARES, np.random.default_rng(seed))):
            for name in names:
                inside[int(name), part] += 1
    np.testing.assert_allclose(inside / 2000, np.tile(SHARES, (10, 1)), atol=0.06)


def test_classes_keep_the_order_given() -> None:
    groups = [("d",), ("b", "a"), ("c",)]
    order = ["d", "b", "a", "c"]
    for part in split_classes(groups, (0.5, 0.5), np.random.default_rng(0)):
        assert list(part) == sorted(part, key=order.index)


@pytest.mark.parametrize("groups", [[("a",), ("a", "b")], [("a",), ()], [("a", "a")]])
def test_a_class_in_two_groups_or_an_empty_group_is_refused(groups: list[tuple[str, ...]]) -> None:
    with pytest.raises(ValueError, match="exactly one group"):
        split_classes(groups, SHARES, np.random.default_rng(0))


@pytest.mark.parametrize("shares", [(0.5, 0.4), (1.5, -0.5), ()])
def test_shares_that_do_not_sum_to_one_are_refused(shares: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="sum to 1"):
        part_sizes(10, shares)


def test_part_sizes_are_as_near_as_whole_numbers_can_be() -> None:
    for count in range(25):
        sizes = part_sizes(count, SHARES)
        candidates = [c for c in product(range(count + 1), repeat=3) if sum(c) == count]
        error = [
            sum(abs(n - share * count) for n, share in zip(c, SHARES, strict=True))
            for c in candidates
        ]
        ours = sum(abs(n - share * count) for n, share in zip(sizes.tolist(), SHARES, strict=True))
        assert sizes.sum() == count
        assert ours == pytest.approx(min(error))
