"""The committed class splits: whole groups, near the shares, and made again from the counts they
hold."""

from typing import Any

import numpy as np
import pytest

from knowbound.data.signs.class_split import split_classes
from knowbound.paper.signs.class_splits import (
    SHARES,
    class_split,
    committed_splits,
    make_splits,
    to_json,
)
from knowbound.paper.signs.groups import LOOK_ALIKES, SHOWS, groups_of

PARTS = ("in", "seen", "unseen")


def counts(content: dict[str, Any], side: str) -> dict[str, int]:
    """The counts that the file itself holds, by name as a reader of the data gives them."""
    found = {
        name: count[side] for group in content["groups"] for name, count in group["classes"].items()
    }
    return {name: found[name] for name in sorted(found)}


def every_split(content: dict[str, Any]) -> list[dict[str, Any]]:
    return [content["restricted"], *content["random"]]


def test_the_file_is_what_its_own_counts_give() -> None:
    content = committed_splits()
    rare = {"rare": 9, "io": 580, "po": 735, "wo": 73}  # must change nothing
    again = make_splits({**counts(content, "train"), **rare}, counts(content, "test"))
    assert again == content
    assert to_json(again) == to_json(content)


def test_every_usable_class_is_in_exactly_one_part() -> None:
    content = committed_splits()
    usable = sorted(counts(content, "train"))
    assert len(usable) == 77
    for split in every_split(content):
        assert sorted(name for part in PARTS for name in split[part]) == usable
        assert [len(split[part]) for part in PARTS] == [39, 15, 23]  # 38.5, 15.4, 23.1


def test_the_sizes_written_down_are_the_sums_of_the_counts() -> None:
    content = committed_splits()
    for split in every_split(content):
        for part in PARTS:
            assert split["sizes"][part]["classes"] == len(split[part])
            for side in ("train", "test"):
                assert split["sizes"][part][side] == sum(
                    counts(content, side)[name] for name in split[part]
                )


def test_the_restricted_split_keeps_look_alikes_together_and_images_balanced() -> None:
    split = class_split(restricted=True)
    part_of = {
        name: part for part in ("in_classes", "seen", "unseen") for name in getattr(split, part)
    }
    families = ["".join(c for c in name if c.isalpha()) for name in part_of]
    for family in ("pl", "il", "ph", "pm", "pr", "pa"):
        assert len({part_of[n] for n, f in zip(part_of, families, strict=True) if f == family}) == 1
    alike = [
        ("i10", "i12"),
        ("p19", "p23"),
        ("w58", "w59"),
        ("pl20", "pm20"),
        ("p18", "p22"),
        ("i5", "i13"),
        ("p5", "p14"),
    ]
    for one, other in alike:
        assert part_of[one] == part_of[other]
    for group in split.groups:
        assert len({part_of[name] for name in group}) == 1
    sizes = committed_splits()["restricted"]["sizes"]
    for side in ("train", "test"):
        total = sum(sizes[part][side] for part in PARTS)
        for part, share in zip(PARTS, SHARES, strict=True):
            assert abs(sizes[part][side] / total - share) <= 0.05


def test_no_smaller_seed_would_have_done() -> None:
    content = committed_splits()
    groups = [tuple(group["classes"]) for group in content["groups"]]
    for seed in range(content["restricted"]["seed"] + 1):
        parts = split_classes(groups, SHARES, np.random.default_rng(seed))
        off = []
        for side in ("train", "test"):
            images = counts(content, side)
            shares = [sum(images[name] for name in part) / sum(images.values()) for part in parts]
            off += [abs(share - wanted) for share, wanted in zip(shares, SHARES, strict=True)]
        assert (max(off) <= 0.05) == (seed == content["restricted"]["seed"])


def test_random_splits_differ_and_tear_groups_apart() -> None:
    splits = [class_split(restricted=False, index=i) for i in range(10)]
    assert len({split.in_classes for split in splits}) == 10
    assert all(len(group) == 1 for split in splits for group in split.groups)
    assert all(len({"pl40", "pl50", "pl60"} & set(s.in_classes)) < 3 for s in splits[:2])
    assert [split.name for split in splits] == [f"random {i}" for i in range(10)]


@pytest.mark.parametrize(("restricted", "index"), [(True, 1), (False, 10), (False, -1)])
def test_a_split_that_does_not_exist_is_refused(restricted: bool, index: int) -> None:
    with pytest.raises(ValueError, match="expected 0"):
        class_split(restricted, index)


def test_each_class_has_one_group_with_a_reason() -> None:
    named = [name for group in LOOK_ALIKES for name in group.classes]
    assert len(set(named)) == len(named)
    assert not set(named) & set(SHOWS)
    for group in committed_splits()["groups"]:
        assert len(group["reason"].split()) > 5
    usable = sorted(counts(committed_splits(), "train"))
    assert set(named) | set(SHOWS) == set(
        usable
    )  # every class was looked at, and none that is not used


def test_groups_hold_the_given_classes_only_and_a_new_class_stands_alone() -> None:
    groups = groups_of(("pl20", "pm20", "new", "w58"))
    assert [group.classes for group in groups] == [("pl20", "pm20"), ("w58",), ("new",)]
