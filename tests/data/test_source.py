"""Images, labels and class names: what fits together, and what is taken of them."""

import hashlib
from typing import Any

import numpy as np
import pytest

from knowbound.data.source import ChosenPixels, LazyPixels, Source, to_unit_interval
from knowbound.labels import OUT
from tests.samples import blobs


class Counted(LazyPixels):
    """Images that are made when asked for; remembers which were."""

    def __init__(self, numbers: np.ndarray, made: list[int]) -> None:
        self.numbers, self.made = numbers, made

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.numbers), 1, 2, 2)

    @property
    def dtype(self) -> Any:
        return np.dtype(np.uint8)

    def __getitem__(self, indices: Any, /) -> Any:
        chosen = self.numbers[indices]
        self.made += chosen.tolist()
        return np.broadcast_to(chosen[:, None, None, None], (len(chosen), 1, 2, 2)).astype(np.uint8)

    def subset(self, indices: np.ndarray) -> "Counted":
        return Counted(self.numbers[indices], self.made)


def images(count: int, *shape: int) -> np.ndarray:
    return np.zeros((count, *shape), np.uint8)


@pytest.mark.parametrize(
    ("pixels", "labels", "words"),
    [
        (images(2, 1, 3), [0, 0], r"have shape \(2, 1, 3\); expected \(N, C, H, W\)"),
        (images(2, 2, 3, 3), [0, 0], "C = 1 or 3"),
        (images(2, 1, 3, 3).astype(np.float64), [0, 0], "are float64; expected uint8 or float32"),
        (images(2, 1, 3, 3), [0], r"int64 of shape \(2,\), one for each image"),
        (images(2, 1, 3, 3), [0.0, 0.0], "labels of 'x' are float64"),
        (images(2, 1, 3, 3), [0, 2], r"lie in 0..2; expected -1..1, as it has 2 class names"),
        (images(2, 1, 3, 3), [-2, 0], r"lie in -2..0; expected -1..1"),
    ],
)
def test_what_does_not_fit_together_is_refused(
    pixels: np.ndarray, labels: list[float], words: str
) -> None:
    given = np.array(labels)
    with pytest.raises(ValueError, match=words):
        Source("x", pixels, given, ("a", "b"))


def test_classes_are_taken_in_the_order_that_is_asked_for() -> None:
    source = blobs(per_class=3, classes=4)
    taken = source.take_classes(("place 3", "place 1"), "two")
    assert (taken.name, taken.class_names) == ("two", ("place 3", "place 1"))
    kept = [i for i, label in enumerate(source.labels) if label in (3, 1)]
    np.testing.assert_array_equal(taken.pixels, source.pixels[kept])
    assert taken.labels.tolist() == [{3: 0, 1: 1}[int(source.labels[i])] for i in kept]
    with pytest.raises(ValueError, match=r"no class \['place 9'\]; it has \['place 0'"):
        source.take_classes(("place 0", "place 9"))


def test_images_without_a_class_are_in_none() -> None:
    labels = np.array([0, OUT, 1, OUT])
    source = Source("x", images(4, 1, 2, 2), labels, ("a", "b"))
    assert len(source.take_classes(("b", "a"))) == 2


def test_images_made_when_asked_for_stay_unmade() -> None:
    made: list[int] = []
    source = Source("x", Counted(np.arange(20), made), np.arange(20) % 2, ("a", "b"))
    some = source.take_classes(("b",)).take(np.arange(5)).without_labels()
    drawn = some.sample(2, np.random.default_rng(0))
    assert made == []
    assert sorted(drawn.images(slice(None))[:, 0, 0, 0].tolist()) == sorted(made)
    assert set(made) <= {1, 3, 5, 7, 9}
    assert len(made) == 2


def test_a_sample_keeps_the_order_and_all_of_few() -> None:
    source = blobs(per_class=10)
    drawn = source.sample(7, np.random.default_rng(1), "drawn")
    places = [
        next(i for i, other in enumerate(source.pixels[:]) if (image == other).all())
        for image in drawn.pixels[:]
    ]
    assert places == sorted(set(places))
    assert (len(drawn), drawn.name) == (7, "drawn")
    assert source.sample(30, np.random.default_rng(1)) is source


def test_the_hash_is_that_of_shape_type_names_labels_and_images() -> None:
    source = blobs(per_class=2)
    head = repr((source.pixels.shape, "uint8", source.class_names)).encode()
    content = head + source.labels.tobytes() + np.asarray(source.pixels).tobytes()
    assert source.sha256() == hashlib.sha256(content).hexdigest()
    assert source.without_labels().sha256() != source.sha256()


def test_the_unit_interval_of_bytes_and_of_fractions() -> None:
    values = np.arange(256, dtype=np.uint8)
    scaled = to_unit_interval(values)
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled, values / 255, rtol=1e-6)
    assert to_unit_interval(scaled) is scaled


def test_many_images_in_memory_are_held_once(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.random.default_rng(0).integers(256, size=(40, 3, 4, 4), dtype=np.uint8)
    source = Source("many", pixels, np.arange(40) % 4, ("a", "b", "c", "d"))
    indices = np.array([3, 39, 5, 5, 0, 20])
    copied = source.take(indices)
    assert isinstance(copied.pixels, np.ndarray)
    monkeypatch.setattr("knowbound.data.source.SHARED", 6 * 48)
    shared = source.take(indices)
    assert isinstance(shared.pixels, ChosenPixels)
    assert shared.pixels.array is pixels
    assert isinstance(source.take(indices[:5]).pixels, np.ndarray)  # few: a copy, and no more held
    again, expected = shared.take(np.array([5, 1])), pixels[[20, 39]]
    assert isinstance(again.pixels, ChosenPixels)
    np.testing.assert_array_equal(again.images(slice(None)), expected)
    for chosen in (slice(1, 4), np.array([2, 0]), np.arange(6) > 2):
        np.testing.assert_array_equal(shared.images(chosen), copied.images(chosen))
    np.testing.assert_array_equal(shared.pixels[1], pixels[39])
    assert (len(shared), shared.image_shape) == (6, (3, 4, 4))
    assert shared.sha256() == copied.sha256()
    shared.images(slice(None))[:] = 0
    np.testing.assert_array_equal(copied.images(slice(None)), pixels[indices])
