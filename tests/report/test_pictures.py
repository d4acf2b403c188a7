"""The surprising images are the right ones, and their thumbnails hold the pixels."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from knowbound.report.pictures import accepted_outs, png_address, rejected_ins
from tests.report.samples import evidence, judged, rejudged, two_outs


def test_accepted_outs_are_the_lowest_scores_of_all_out_sets() -> None:
    model = evidence(*two_outs(paths=True))
    slow = sorted(
        (score, out.name, i)
        for out in model.out_sets
        for i, (score, decision) in enumerate(zip(out.judgement.score, out.decisions, strict=True))
        if decision == "known"
    )
    assert len(slow) > 5
    pictures = accepted_outs(model, at_most=5)
    assert [(p.score, p.index, p.decision) for p in pictures] == [
        (score, i, "known") for score, _, i in slow[:5]
    ]
    assert [p.path for p in pictures] == [f"/data/<{name}>/{i}.png" for _, name, i in slow[:5]]
    assert pictures[0].truth == f"{slow[0][1]} (novelty)"


def test_rejected_ins_are_the_highest_scores() -> None:
    model = evidence()
    inside = model.in_set
    slow = sorted(
        (
            (s, i)
            for i, (s, d) in enumerate(zip(inside.judgement.score, inside.decisions, strict=True))
            if d != "known"
        ),
        reverse=True,
    )
    assert len(slow) > 16
    pictures = rejected_ins(model)
    assert [(p.score, p.index) for p in pictures] == slow[:16]
    assert [p.truth for p in pictures] == [
        model.class_names[inside.labels[i]] for _, i in slow[:16]
    ]
    assert [p.nearest for p in pictures] == [
        model.class_names[inside.judgement.nearest[i]] for _, i in slow[:16]
    ]


def test_none_when_nothing_surprises() -> None:
    inside = judged("digits", None, 10)
    model = evidence(inside=rejudged(inside, decision=np.zeros(10, np.int64)))
    assert accepted_outs(model) == ()
    assert rejected_ins(model) == ()


@pytest.mark.parametrize("channels", [1, 3])
def test_png_holds_the_pixels(channels: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (channels, 9, 7), dtype=np.uint8)
    head, data = png_address(image).split(",")
    assert head == "data:image/png;base64"
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
    assert np.array_equal(pixels, image[0] if channels == 1 else image.transpose(1, 2, 0))


def test_large_images_become_thumbnails() -> None:
    data = png_address(np.zeros((3, 300, 150), np.uint8)).split(",")[1]
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == (32, 64)
