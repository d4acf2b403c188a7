"""What is put on a frozen network: every head measured, each picture embedded once."""

from pathlib import Path

import numpy as np

from knowbound.building.frozen import FrozenNetwork
from knowbound.data.feature_cache import FeatureCache
from knowbound.detectors import KNearest
from knowbound.workflows.audition import heads
from knowbound.workflows.audition.heads import best_of, shown, survey_heads
from knowbound.workflows.audition.survey import survey
from knowbound.workflows.audition.trial import Head
from tests.backbones.settled import settled_lite
from tests.workflows.photographs import lenet, staged


def test_every_pooling_and_detector_is_surveyed_and_no_picture_embedded_twice(
    photographs: Path, tmp_path: Path
) -> None:
    images = staged(photographs).large
    frozen = FrozenNetwork(
        settled_lite(pooling="mean"), "lite", 96, "float32", FeatureCache(tmp_path)
    )
    found = survey_heads(frozen, images, "none", seed=0)
    assert [(one.head.pooling, one.head.detector) for one in found] == [
        (pooling, detector) for pooling in ("middle", "mean") for detector in heads.DETECTORS
    ]
    assert {one.embedded.computed for one in found} == {24}
    assert not any(one.trial.remembered for one in found)
    again = survey_heads(frozen.pooled_by("middle"), images, "none", seed=0)
    assert all(one.trial.remembered for one in again)
    assert [one.trial.mark for one in again] == [one.trial.mark for one in found]
    for one in found:
        assert one.frozen.network.settings["pooling"] == one.head.pooling
        assert one.trial.how == f"frozen, {one.head}"
    labels, groups = images.source.labels, np.arange(24)
    features = found[-1].embedded.outputs.get("features")
    expected = survey(features, labels, groups, lambda: KNearest(reads="features"), 0)
    assert expected is not None
    assert (found[-1].trial.accuracy, found[-1].trial.novelty_auroc) == (
        expected.accuracy,
        expected.novelty_auroc,
    )


def test_a_network_of_one_pooling_and_too_few_pictures(photographs: Path, tmp_path: Path) -> None:
    found = survey_heads(lenet(tmp_path), staged(photographs).large, "none", seed=0)
    assert [one.head.pooling for one in found] == [None] * len(heads.DETECTORS)
    best = best_of(found)
    assert best.trial.mark == max(one.trial.mark for one in found)
    assert shown([*found, *found]) == [one.trial for one in found]
    every = r"(.)"  # all names begin with one of eight letters; each class has them all
    alone = survey_heads(lenet(tmp_path), staged(photographs).large, r"^.*(png)$", seed=0)
    assert (
        alone,
        len(survey_heads(lenet(tmp_path), staged(photographs).large, every, seed=0)),
    ) == (
        [],
        len(heads.DETECTORS),
    )


def test_a_head_says_what_it_is() -> None:
    assert str(Head("middle", "relative_centre")) == "relative_centre on features of the middle"
    assert str(Head("mean", "k_nearest")) == "k_nearest on mean features"
    assert str(Head(None, "k_nearest")) == "k_nearest"
