"""Crops keep their frame and size through every selection."""

import numpy as np
import pytest

from knowbound.data.preprocessing import Preprocessing
from knowbound.data.signs.crops import Crop, Crops, collect_crops
from knowbound.data.source import Source
from knowbound.labels import OUT


def numbered(labels: list[int], class_names: tuple[str, ...] = ("a", "b", "c")) -> Crops:
    """Crop i has every pixel i, comes from frame "f<i>" and was i + 1 pixels high."""
    count = len(labels)
    pixels = np.broadcast_to(
        np.arange(count, dtype=np.uint8)[:, None, None, None], (count, 1, 2, 2)
    )
    sizes = np.stack([np.arange(count) + 1, np.full(count, 7)], axis=1)
    source = Source("crops", pixels.copy(), np.array(labels, dtype=np.int64), class_names)
    return Crops(source, np.array([f"f{i}" for i in range(count)], dtype=np.str_), sizes)


def check_still_together(crops: Crops) -> None:
    for index in range(len(crops)):
        value = int(crops.source.pixels[index, 0, 0, 0])
        assert crops.frames[index] == f"f{value}"
        assert crops.sizes[index].tolist() == [value + 1, 7]


def test_take_keeps_frames_and_sizes_in_the_order_asked_for() -> None:
    taken = numbered([0, 1, 2, 0]).take(np.array([3, 0, 2]))
    assert taken.frames.tolist() == ["f3", "f0", "f2"]
    check_still_together(taken)


@pytest.mark.parametrize("names", [("c", "a"), ("b",), ("a", "b", "c")])
def test_take_classes_keeps_frames_and_relabels_in_the_order_given(names: tuple[str, ...]) -> None:
    labels = [2, OUT, 0, 1, 0, 2]
    taken = numbered(labels).take_classes(names, "some")
    check_still_together(taken)
    for index in range(len(taken)):
        original = labels[int(taken.source.pixels[index, 0, 0, 0])]
        assert names[taken.source.labels[index]] == ("a", "b", "c")[original]
    assert len(taken) == sum(label != OUT and ("a", "b", "c")[label] in names for label in labels)
    assert taken.source.name == "some"


def test_take_classes_refuses_an_unknown_name() -> None:
    with pytest.raises(ValueError, match="no class"):
        numbered([0, 1]).take_classes(("d",))


def test_class_counts_name_every_class_and_leave_out_what_has_none() -> None:
    assert numbered([2, 2, OUT, 0]).class_counts() == {"a": 1, "b": 0, "c": 2}


def test_counts_must_fit() -> None:
    crops = numbered([0, 1])
    with pytest.raises(ValueError, match="has 2 crops"):
        Crops(crops.source, crops.frames[:1], crops.sizes)


def test_collecting_no_crop_gives_an_empty_source_of_the_right_shape() -> None:
    empty = collect_crops([], "none", (), Preprocessing(4, 5, 3))
    assert empty.source.pixels.shape == (0, 3, 4, 5)
    assert empty.sizes.shape == (0, 2)
    assert len(empty.take(np.array([], dtype=np.int64))) == 0


def test_collecting_keeps_the_order() -> None:
    crops = [
        Crop(np.full((1, 2, 2), i, dtype=np.uint8), i % 2, f"f{i}", (i + 1, 7)) for i in range(3)
    ]
    collected = collect_crops(crops, "three", ("a", "b"), Preprocessing(2, 2, 1))
    assert collected.source.labels.tolist() == [0, 1, 0]
    check_still_together(collected)
