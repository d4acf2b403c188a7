"""Synthetic outliers: a source of each kind, and what cannot be made is said."""

import numpy as np

from knowbound.data.outs.changed_copies import Change, Invariances, apply_change, changed_copies
from knowbound.data.outs.composed import composed_images
from knowbound.data.outs.synthetic import SyntheticKind, synthetic_outliers
from knowbound.data.source import Source
from tests.samples import blobs


def never(source: Source) -> Invariances:
    """No class is invariant to anything."""
    shape = (len(source.class_names), len(Change))
    return Invariances(source.class_names, np.zeros(shape), np.zeros(shape))


def always(source: Source) -> Invariances:
    """Every class is invariant to everything."""
    shape = (len(source.class_names), len(Change))
    return Invariances(source.class_names, np.ones(shape), np.zeros(shape))


def test_one_source_of_each_kind() -> None:
    source = blobs()
    made = synthetic_outliers(source, never(source), 30, np.random.default_rng(0))
    assert made.to_dict() == {"Composed": 30, "changed copies": 30}
    assert made.remarks == ()
    rng = np.random.default_rng(0)
    composed = composed_images(source, 30, rng)
    copies = changed_copies(source, never(source), 30, rng)
    for ours, theirs in zip(made.sources, (composed, copies), strict=True):
        assert ours.sha256() == theirs.sha256()


def test_held_in_memory_or_made_when_asked_for() -> None:
    source = blobs()
    held = synthetic_outliers(source, never(source), 30, np.random.default_rng(0))
    made = synthetic_outliers(source, never(source), 30, np.random.default_rng(0), memory_limit=0)
    for ours, theirs in zip(held.sources, made.sources, strict=True):
        assert isinstance(ours.pixels, np.ndarray)
        assert not isinstance(theirs.pixels, np.ndarray)
        assert ours.sha256() == theirs.sha256()


def test_one_kind_alone() -> None:
    source = blobs()
    made = synthetic_outliers(
        source, never(source), 20, np.random.default_rng(0), (SyntheticKind.CHANGED,)
    )
    (copies,) = made.sources
    originals = source.images(slice(None))
    known = {apply_change(image, change).tobytes() for image in originals for change in Change}
    assert all(image.tobytes() in known for image in copies.images(slice(None)))


def test_what_cannot_be_made_is_said() -> None:
    source = blobs()
    made = synthetic_outliers(source, always(source), 20, np.random.default_rng(0))
    assert made.to_dict() == {"Composed": 20}
    assert "mirrored" in made.remarks[0]
    single = blobs(classes=1)
    made = synthetic_outliers(single, always(single), 20, np.random.default_rng(0))
    assert made.sources == ()
    assert "1 class has images" in made.remarks[0]
    assert len(made.remarks) == 2
