"""Counting which unseen classes pass: against a plain count."""

import numpy as np
import pytest
import torch

from knowbound.backbones import LeNet
from knowbound.boundary.boundary import Boundary
from knowbound.data.preprocessing import Preprocessing
from knowbound.detectors import NearestCentre
from knowbound.judging import judged_set
from knowbound.labels import Kind
from knowbound.metrics import measure
from knowbound.report.accepted import accepted_by_class
from tests.samples import blobs


def test_accepted_by_class_adds_up_to_fpr95() -> None:
    torch.manual_seed(0)
    boundary = Boundary(
        LeNet(embedding=3, height=16, width=16, hidden=8),
        NearestCentre(),
        Preprocessing(16, 16, 1),
        ("a", "b", "c"),
    )
    boundary.learn(blobs()).calibrate(blobs(seed=1))
    inside, novelty = blobs(seed=2), blobs(seed=3, first=3, classes=2, per_class=30)
    judged = judged_set(boundary, novelty, Kind.NOVELTY)
    in_judged = judged_set(boundary, inside, None)
    rows = accepted_by_class(in_judged, judged, inside.class_names, novelty.class_names)
    in_scores = in_judged.judgement.score
    fpr = measure(in_scores, judged.judgement.score).fpr95
    assert sum(row.accepted for row in rows) / 60 == pytest.approx(fpr)
    threshold = np.sort(in_scores)[int(np.ceil(0.95 * len(in_scores))) - 1]
    for row in rows:
        label = novelty.class_names.index(row.name)
        passed = [
            c
            for c, s, lab in zip(
                judged.judgement.nearest, judged.judgement.score, novelty.labels, strict=True
            )
            if lab == label and s <= threshold
        ]
        assert (row.images, row.accepted) == (30, len(passed))
        assert dict(row.taken_for) == {inside.class_names[c]: passed.count(c) for c in set(passed)}
    assert rows[0].accepted >= rows[-1].accepted
