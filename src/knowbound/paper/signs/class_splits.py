"""The splits of the Tsinghua sign classes for Tables 2 and 4: made from class counts, committed as
readable JSON.

Ours are not the paper's: its split is only a picture (Figure 2) and its ten random splits were not
released.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from knowbound.data.signs.class_split import split_classes
from knowbound.data.signs.tsinghua import FEWEST, usable_classes
from knowbound.paper.signs.groups import groups_of
from knowbound.values import JsonMapping, JsonObject

SHARES = (0.5, 0.2, 0.3)  # of the classes: in, seen out, unseen out (Section 4.2)
TOLERANCE = 0.05  # how far a part's share of the images may lie from the shares above
RANDOM_SPLITS = 10  # Table 4
FILE = "class_splits.json"


@dataclass(frozen=True, slots=True)
class ClassSplit:
    """Which classes are in, shown as out in training, and met only at test.  groups: the classes
    that stay together."""

    name: str
    in_classes: tuple[str, ...]
    seen: tuple[str, ...]
    unseen: tuple[str, ...]
    groups: tuple[tuple[str, ...], ...]


def class_split(restricted: bool, index: int = 0) -> ClassSplit:
    """The restricted split of Table 2, or a random split of Table 4, as committed.

    Args:
        restricted: which of the two.
        index: of the random split, 0..9.

    Raises:
        ValueError: an index that does not exist.
    """
    content = committed_splits()
    found = [content["restricted"]] if restricted else content["random"]
    if not 0 <= index < len(found):
        raise ValueError(f"split {index} was asked for; expected 0..{len(found) - 1}")
    groups = [tuple(group["classes"]) for group in content["groups"]]
    parts = {part: tuple(found[index][part]) for part in ("in", "seen", "unseen")}
    return ClassSplit(
        "restricted" if restricted else f"random {index}",
        *(parts["in"], parts["seen"], parts["unseen"]),
        tuple(groups if restricted else [(name,) for group in groups for name in group]),
    )


@cache
def committed_splits() -> JsonObject:
    """The content of the committed JSON file."""
    content: JsonObject = json.loads(files(__package__).joinpath(FILE).read_text(encoding="utf-8"))
    return content


def make_splits(train_counts: Mapping[str, int], test_counts: Mapping[str, int]) -> JsonObject:
    """The content of the JSON file: every usable class with its group and the reason, and the
    splits.

    The splits follow from the counts and the seeds alone: no image is looked at and nothing is
    trained.

    Args:
        train_counts: images of each class, after shared frames were dropped from training.
        test_counts: the same of the test set.
    """
    counts = {
        name: (train_counts[name], test_counts.get(name, 0))
        for name in usable_classes(train_counts)
    }
    groups = groups_of(tuple(counts))
    seed, restricted = _restricted([group.classes for group in groups], counts)
    random = [
        split_classes([(name,) for name in counts], SHARES, np.random.default_rng(i))
        for i in range(RANDOM_SPLITS)
    ]
    return {
        "about": "Our splits of the Tsinghua sign classes into in, seen out and unseen out. They "
        "are not the paper's: its split is only a picture (Figure 2) and its random splits were "
        "not released.",
        "usable": f"Classes with at least {FEWEST} training images, without the catch-all classes "
        "io, po and wo; training crops whose source frame also gives test crops are not counted.",
        "rule": f"Restricted: groups of look-alike classes stay whole, the classes are divided "
        f"50/20/30% as near as whole groups allow, and of the seeds 0, 1, 2, ... the first is "
        f"taken with which each part's share of the training images and of the test images lies "
        f"within {100 * TOLERANCE:.0f} percentage points of these shares. Random: seeds 0 to "
        f"{RANDOM_SPLITS - 1}, no groups, any number of images. No result of any training was used.",
        "groups": [
            {
                "name": g.name,
                "reason": g.reason,
                "classes": {
                    name: dict(zip(("train", "test"), counts[name], strict=True))
                    for name in g.classes
                },
            }
            for g in groups
        ],
        "restricted": _describe(restricted, counts, seed),
        "random": [_describe(parts, counts, seed) for seed, parts in enumerate(random)],
    }


def to_json(content: JsonMapping) -> str:
    """The JSON text of the file: indented, lists of class names on one line so that a person can
    read them."""
    return _lines(content, "") + "\n"


def _restricted(
    groups: Sequence[Sequence[str]], counts: Mapping[str, tuple[int, int]], tries: int = 100_000
) -> tuple[int, tuple[tuple[str, ...], ...]]:
    """The first seed whose split has the images balanced, and its parts.  Raises ValueError where
    none is found."""
    for seed in range(tries):
        parts = split_classes(groups, SHARES, np.random.default_rng(seed))
        if np.abs(_image_shares(parts, counts) - np.array(SHARES)[:, None]).max() <= TOLERANCE:
            return seed, parts
    raise ValueError(
        f"none of {tries} seeds gave parts whose images lie within {TOLERANCE} of {SHARES}"
    )


def _image_shares(parts: Sequence[Sequence[str]], counts: Mapping[str, tuple[int, int]]) -> Any:
    """(parts, 2): each part's share of the training and of the test images."""
    images = np.array(
        [np.sum([counts[name] for name in part], axis=0) for part in parts], dtype=np.float64
    )
    return images / images.sum(axis=0)


def _describe(
    parts: Sequence[Sequence[str]], counts: Mapping[str, tuple[int, int]], seed: int
) -> JsonObject:
    sizes = {
        part: {
            "classes": len(names),
            "train": sum(counts[n][0] for n in names),
            "test": sum(counts[n][1] for n in names),
        }
        for part, names in zip(("in", "seen", "unseen"), parts, strict=True)
    }
    return {
        "seed": seed,
        "sizes": sizes,
        **dict(zip(("in", "seen", "unseen"), map(list, parts), strict=True)),
    }


def _lines(value: Any, indent: str) -> str:
    deeper = indent + "  "
    if isinstance(value, dict) and any(isinstance(v, dict | list) for v in value.values()):
        items = [f"{deeper}{json.dumps(k)}: {_lines(v, deeper)}" for k, v in value.items()]
        return "{\n" + ",\n".join(items) + f"\n{indent}}}"
    if isinstance(value, list) and any(isinstance(v, dict | list) for v in value):
        return "[\n" + ",\n".join(deeper + _lines(v, deeper) for v in value) + f"\n{indent}]"
    return json.dumps(value, ensure_ascii=False)
