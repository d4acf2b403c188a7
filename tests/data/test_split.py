"""Roles: which images are learned from, held out, shown and met at test."""

from dataclasses import replace

import pytest

from knowbound.data.split import OutSet, Split
from knowbound.labels import Kind
from tests.samples import blobs

SHOWN = OutSet(blobs(first=3, classes=1).without_labels("shown"), Kind.NOVELTY)
UNSEEN = OutSet(blobs(first=4, classes=1).without_labels("unseen"), Kind.ANOMALY)
SPLIT = Split("blobs", blobs(), blobs(seed=1), blobs(seed=2), (SHOWN,), (UNSEEN,))


def test_without_seen_out_nothing_else_changes() -> None:
    ml = SPLIT.without_seen_out()
    assert ml.seen_out == ()
    assert replace(ml, seen_out=(SHOWN,)).__dict__ == SPLIT.__dict__


def test_an_out_set_is_called_as_its_source() -> None:
    assert (SHOWN.name, UNSEEN.kind) == ("shown", Kind.ANOMALY)


@pytest.mark.parametrize("part", ["validation", "test"])
def test_parts_have_the_classes_of_training(part: str) -> None:
    other = blobs(classes=3, first=1, name="other")
    with pytest.raises(ValueError, match="'other' has the classes .*'place 3'.*as in training"):
        replace(SPLIT, **{part: other})


def test_images_have_one_shape() -> None:
    source = blobs()
    small = replace(source, pixels=source.pixels[:, :, :8])
    for changes in (
        {"test": small},
        {"seen_out": (OutSet(small.without_labels(), Kind.NOVELTY),)},
        {"unseen_out": (OutSet(small.without_labels(), Kind.NOVELTY),)},
    ):
        with pytest.raises(ValueError, match=r"mixes the image shapes \[\(1, 8, 16\), \(1, 16"):
            replace(SPLIT, **changes)


def test_unseen_sets_have_names_of_their_own() -> None:
    with pytest.raises(ValueError, match=r"named \['unseen', 'unseen'\]; expected a name of its"):
        replace(SPLIT, unseen_out=(UNSEEN, UNSEEN))
