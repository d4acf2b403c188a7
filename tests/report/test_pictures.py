"""The surprising images are the right ones, and their thumbnails hold the pixels."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from knowbound.evidence import Evidence, JudgedSet
from knowbound.report.pictures import (
    Shown,
    accepted_outs,
    confused_ins,
    most_novel,
    picture_address,
    rejected_ins,
)
from tests.report.samples import evidence, judged, rejudged, two_outs


def members(model: Evidence, judged_set: JudgedSet, decision: str, **wanted: int) -> list[int]:
    """Images of which this was said; ``label`` or ``nearest``: class indices."""
    found = []
    for i, said in enumerate(judged_set.decisions):
        label, nearest = judged_set.labels[i], judged_set.judgement.nearest[i]
        truth = (wanted.get("label", label), wanted.get("nearest", nearest))
        if said == decision and truth == (label, nearest):
            found.append(int(i))
    return found


def test_accepted_outs_are_grouped_by_what_they_passed_for() -> None:
    model = evidence(*two_outs(paths=True))
    groups = accepted_outs(model, Shown(groups=3, pictures=2, paths=4))
    sizes = {
        f"{out.name} taken for {name}": members(model, out, "known", nearest=c)
        for out in model.out_sets
        for c, name in enumerate(model.class_names)
    }
    largest = sorted((len(found) for found in sizes.values()), reverse=True)
    assert [group.total for group in groups] == largest[:3]
    for group in groups:
        others = model.out_sets[0]
        order = sorted(sizes[group.title], key=lambda i: others.judgement.score[i])
        assert group.total == len(order)
        assert [picture.index for picture in group.pictures] == order[:2]
        assert group.paths == tuple(others.paths[i] for i in order[:4])
        assert group.pictures[0].truth == "others (novelty)"


def test_rejected_ins_are_grouped_by_class_the_highest_scores_first() -> None:
    model = evidence()
    inside = model.in_set
    groups = rejected_ins(model)
    assert sum(group.total for group in groups) == (inside.judgement.decision != 0).sum()
    for group in groups:
        label = model.class_names.index(group.title.removesuffix(" rejected"))
        mine = members(model, inside, "novelty", label=label)
        mine += members(model, inside, "anomaly", label=label)
        order = sorted(mine, key=lambda i: -inside.judgement.score[i])
        assert [picture.index for picture in group.pictures] == order[:8]
        assert group.paths == ()  # these images came from no files


def test_confused_ins_are_accepted_images_with_another_class() -> None:
    model = evidence()
    inside = model.in_set
    groups = confused_ins(model)
    slow = {}
    for a, own in enumerate(model.class_names):
        for b, other in enumerate(model.class_names):
            if a != b and (found := members(model, inside, "known", label=a, nearest=b)):
                slow[f"{own} taken for {other}"] = len(found)
    assert {group.title: group.total for group in groups} == slow
    assert slow


def test_the_most_novel_have_the_highest_scores() -> None:
    model = evidence(*two_outs())
    groups = most_novel(model)
    out = model.out_sets[0]
    for group in groups:
        assert group.title.startswith("others near ")
        nearest = model.class_names.index(group.title.removeprefix("others near "))
        mine = members(model, out, "novelty", nearest=nearest)
        order = sorted(mine, key=lambda i: -out.judgement.score[i])
        assert [picture.index for picture in group.pictures] == order[:8]


def test_none_when_nothing_surprises() -> None:
    inside = judged("digits", None, 10)
    model = evidence(inside=rejudged(inside, decision=np.zeros(10, np.int64)))
    assert accepted_outs(model) == most_novel(model) == ()
    assert rejected_ins(model) == ()


@pytest.mark.parametrize("channels", [1, 3])
def test_png_holds_the_pixels(channels: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (channels, 9, 7), dtype=np.uint8)
    head, data = picture_address(image).split(",")
    assert head == "data:image/png;base64"
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
    assert np.array_equal(pixels, image[0] if channels == 1 else image.transpose(1, 2, 0))


def test_large_images_become_thumbnails() -> None:
    data = picture_address(np.zeros((3, 300, 150), np.uint8)).split(",")[1]
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == (32, 64)


def test_a_photograph_is_kept_as_jpeg_and_looks_the_same() -> None:
    rows, columns = np.mgrid[0:64, 0:64]
    noise = np.random.default_rng(0).normal(0, 3, (3, 64, 64))
    image = np.clip(2 * rows + columns + noise, 0, 255).astype(np.uint8)
    head, data = picture_address(image).split(",")
    assert head == "data:image/jpeg;base64"
    assert len(data) < 5000
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))).transpose(2, 0, 1)
    assert np.abs(pixels.astype(int) - image).mean() < 4
