"""From boundaries and sets of images to rows: every number against a plain loop."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from knowbound.backbones import LeNet
from knowbound.boundary import Boundary
from knowbound.boundary.together import with_detectors
from knowbound.data.outs.noise import gaussian_noise
from knowbound.data.preprocessing import Preprocessing
from knowbound.data.source import LazyPixels, Source
from knowbound.data.split import OutSet
from knowbound.detectors import CentreAndStages, MaxSoftmax, NearestCentre, RelativeCentre
from knowbound.judging import (
    accuracy_of,
    judge_sets,
    judged_set,
    measure_sets,
    seen_names,
    single_threshold,
)
from knowbound.labels import Kind
from knowbound.metrics import auroc, measure
from tests.report.samples import RUN, judged
from tests.samples import blobs

NOVELTY = blobs(per_class=20, first=3, classes=2, seed=4).without_labels("Novelty")
NOISE = gaussian_noise(30, (1, 16, 16), np.random.default_rng(0))
OUTS = (OutSet(NOVELTY, Kind.NOVELTY), OutSet(NOISE, Kind.ANOMALY))


@pytest.fixture(scope="module")
def boundary() -> Boundary:
    torch.manual_seed(0)
    network = LeNet(embedding=3, logits=3, height=16, width=16, hidden=8)
    made = Boundary(network, NearestCentre(), Preprocessing(16, 16, 1), ("a", "b", "c"))
    return made.learn(blobs()).calibrate(blobs(seed=1))


def test_each_boundary_gets_the_evidence_it_would_get_alone(boundary: Boundary) -> None:
    both = with_detectors(boundary, [NearestCentre(), MaxSoftmax()], blobs(), blobs(seed=1))
    inside = blobs(seed=2)
    together = judge_sets(both, [RUN, RUN], inside, OUTS)
    for one, evidence in zip(both, together, strict=True):
        (alone,) = judge_sets([one], [RUN], inside, OUTS)
        assert evidence.results == alone.results
        assert evidence.threshold == alone.threshold == single_threshold(one)
        for mine, theirs in zip(
            (evidence.in_set, *evidence.out_sets), (alone.in_set, *alone.out_sets), strict=True
        ):
            np.testing.assert_array_equal(mine.judgement.score, theirs.judgement.score)
    centres, none = (evidence.centres for evidence in together)
    np.testing.assert_array_equal(centres, both[0].detector.get_buffer("centres"))
    assert none is None
    assert {evidence.shows for evidence in together} == {"embedding"}


def test_centres_are_shown_only_where_they_lie_among_what_is_shown(boundary: Boundary) -> None:
    several = [
        CentreAndStages(),
        NearestCentre(reads="features"),
        RelativeCentre(reads="embedding"),
    ]
    both = with_detectors(boundary, several, blobs(), blobs(seed=1))
    own, features, rescaled = judge_sets(both, [RUN] * 3, blobs(seed=2), OUTS)
    embedding, labels = boundary.judge(blobs()).embedding, blobs().labels
    slow = [embedding[labels == c].mean(axis=0) for c in range(3)]
    np.testing.assert_allclose(own.centres, slow, rtol=1e-4)
    assert features.centres is None  # they have 8 coordinates, not 3
    assert rescaled.centres is None  # 3 coordinates, but of vectors of length 1


def test_images_labels_and_paths_come_along(boundary: Boundary) -> None:
    inside = blobs(per_class=2, seed=2)
    paths = {"blobs": tuple(f"{i}.png" for i in range(6))}
    (evidence,) = judge_sets([boundary], [RUN], inside, OUTS, paths=paths)
    np.testing.assert_array_equal(evidence.in_set.images, inside.pixels)
    np.testing.assert_array_equal(evidence.in_set.labels, inside.labels)
    assert evidence.in_set.paths == paths["blobs"]
    assert evidence.out_sets[1].paths == ()
    noise = evidence.out_sets[1]
    assert noise.images.dtype == np.float32
    assert noise.images_at(np.arange(3)).dtype == np.uint8
    np.testing.assert_allclose(noise.images_at(np.arange(3)), noise.images[:3] * 255, atol=0.51)
    assert [out.kind for out in evidence.out_sets] == [Kind.NOVELTY, Kind.ANOMALY]


class Streamed(LazyPixels):
    """Images of which it is counted how many are decoded, and how many at once."""

    def __init__(self, array: Any) -> None:
        self.array, self.decoded, self.most = array, 0, 0
        self.shape, self.dtype = array.shape, array.dtype

    def __getitem__(self, indices: Any, /) -> Any:
        images = self.array[indices]
        self.decoded += len(images)
        self.most = max(self.most, len(images))
        return images

    def subset(self, indices: Any) -> Any:
        return self.array[indices]


def test_streamed_images_are_decoded_once_and_never_all_at_once(boundary: Boundary) -> None:
    inside = blobs(per_class=100, seed=2)
    pixels = Streamed(inside.pixels)
    (evidence,) = judge_sets([boundary], [RUN], replace(inside, pixels=pixels), OUTS)
    assert pixels.decoded == 300
    assert pixels.most < 300
    assert len(evidence.in_set.images_at(np.arange(5))) == 5


def test_rows_count_decisions_and_measure_the_domain_score() -> None:
    inside = judged("in", None, 120, seed=9)
    near, other = (judged(n, Kind.NOVELTY, 50, shift=0.8, seed=i) for i, n in enumerate("ab"))
    far = judged("noise", Kind.ANOMALY, 90, shift=4, seed=2)
    rows = measure_sets(RUN, inside, (near, other, far), seen=["noise"], conventions=["exact"])
    for row, out in zip(rows, (near, other, far), strict=True):
        slow = {"known": 0, "novelty": 0, "anomaly": 0}
        for decision in out.decisions:
            slow[str(decision)] += 1
        assert row.decisions == slow
        assert sum(slow.values()) == row.n_out == len(out)
        assert row.seen == (out.name == "noise")
        expected = measure(inside.judgement.score, out.judgement.score)
        assert row.numbers.aupr_out == pytest.approx(expected.aupr_out)
        assert row.tie_share == expected.tie_share
    both = np.concatenate([near.judgement.domain_score, other.judgement.domain_score])
    pairs = both[:, None] - far.judgement.domain_score
    slow_auroc = float((pairs < 0).mean() + 0.5 * (pairs == 0).mean())
    assert [row.kind_auroc for row in rows] == [None, None, pytest.approx(slow_auroc)]
    assert slow_auroc == pytest.approx(auroc(both, far.judgement.domain_score))


def test_without_novelties_the_domain_score_is_not_measured() -> None:
    far = judged("noise", Kind.ANOMALY, 90, shift=4, seed=2)
    (row,) = measure_sets(RUN, judged("in", None, 20), (far,))
    assert row.kind_auroc is None


def test_accuracy_counts_labelled_images_alone() -> None:
    labelled = judged("in", None, 60)
    expected = sum(
        int(label == nearest)
        for label, nearest in zip(labelled.labels, labelled.judgement.nearest, strict=True)
    )
    assert accuracy_of(labelled) == expected / 60
    assert accuracy_of(judged("out", Kind.NOVELTY, 10)) is None


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        ((), set()),
        ((("Novelty", Kind.NOVELTY),), {"Novelty"}),
        ((("Other", Kind.NOVELTY),), {"Novelty"}),
        ((("Other", Kind.ANOMALY),), {"Gaussian noise"}),
        ((("Novelty", Kind.NOVELTY), ("Other", Kind.ANOMALY)), {"Novelty"}),
    ],
)
def test_a_seen_set_has_its_name_or_where_none_is_named_so_its_kind(
    shown: tuple[tuple[str, Kind], ...], expected: set[str]
) -> None:
    seen = [OutSet(NOVELTY.without_labels(name), kind) for name, kind in shown]
    assert seen_names(seen, OUTS) == expected


def test_thresholds_by_class_are_no_single_one(boundary: Boundary) -> None:
    torch.manual_seed(0)
    network = LeNet(embedding=3, height=16, width=16, hidden=8)
    made = Boundary(
        network, NearestCentre(), Preprocessing(16, 16, 1), ("a", "b", "c"), acceptance=0.5
    )
    made.learn(blobs()).calibrate(blobs(seed=1), by="class")
    assert math.isnan(single_threshold(made))
    assert single_threshold(boundary) == float(boundary.threshold.thresholds)


def test_one_set_is_judged_as_the_boundary_judges_it(boundary: Boundary) -> None:
    source: Source = blobs(per_class=5, seed=3)
    found = judged_set(boundary, source, None)
    for mine, theirs in zip(found.judgement, boundary.judge(source), strict=True):
        np.testing.assert_array_equal(mine, theirs)
