"""Rows with two heads, and their page: the numbers of the right rows in the right columns."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from knowbound.backbones import WideResNet
from knowbound.building import Base
from knowbound.data.source import Source
from knowbound.data.split import OutSet, Split
from knowbound.detectors import CentreAndStages, NearestCentre
from knowbound.experiment import Experiment, run
from knowbound.labels import Kind
from knowbound.objectives import Contrastive, TwoHeads
from knowbound.objectives.batches import BalancedBatches
from knowbound.paper.own_rows import SYNTHETIC, TWO_HEADS, with_two_heads
from knowbound.paper.two_heads import BOTH, write_two_heads
from knowbound.result import append_rows
from knowbound.training.settings import Training
from tests.report.samples import result
from tests.samples import blob_images


def toy_experiment() -> Experiment:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3, dtype=np.int64), 12)
    known = Source("blobs", blob_images(labels, rng, 16, 3), labels, ("a", "b", "c"))
    pixels = rng.integers(0, 255, (12, 3, 16, 16)).astype(np.uint8)
    noise = Source("noise", pixels, np.full(12, -1, dtype=np.int64), ())
    out = OutSet(noise, Kind.NOVELTY)
    return Experiment(
        experiment="table3",
        scale="cpu",
        method="ODM",
        split=Split("toy", known, known, known, (out,), (out,)),
        backbone=partial(WideResNet, depth=10, widen=1),
        backbone_name="WRN-10-1",
        objective=Contrastive(dim=6, rule=BalancedBatches(images=12, outs=4)),
        detector=NearestCentre,
        training=Training(steps=2, learning_rate=1e-3, precision="float32"),
    )


def test_the_row_trains_both_heads_on_the_same_batches_and_asks_each_for_its_own() -> None:
    odm = toy_experiment()
    odm = replace(odm, base=Base(odm.objective.without_outs(), odm.training, 4))
    two = with_two_heads(odm)
    assert isinstance(two.objective, TwoHeads)
    assert (two.objective.rule, two.objective.metric) == (odm.objective.rule, odm.objective)
    assert two.base
    assert two.base.objective == two.objective.without_outs()
    assert (two.training, two.split, two.base.synthetic) == (odm.training, odm.split, 4)
    boundary = run(two).boundary
    outputs = [boundary.outputs(images) for images in boundary.batches(two.split.test)]
    logits = torch.cat([each.get("logits") for each in outputs])
    judgement = boundary.judge(two.split.test)
    assert judgement.nearest.tolist() == logits.argmax(dim=1).tolist()
    learned = boundary.batches(two.split.train)
    alone = CentreAndStages()
    vectors = torch.cat([alone.read(boundary.outputs(images)) for images in learned])
    alone.fit(vectors, torch.from_numpy(two.split.train.labels))
    scores = alone.score(torch.cat([alone.read(each) for each in outputs]))
    np.testing.assert_allclose(judgement.score, scores.numpy(), rtol=1e-4, atol=1e-4)


def test_the_page_has_the_numbers_of_each_row_and_means_over_seeds(tmp_path: Path) -> None:
    assert write_two_heads(tmp_path) is None
    rows = [
        result(method="CE", in_accuracy=0.91, auroc=0.5),
        result(method="ODM", in_accuracy=0.92, fpr95=0.22, auroc=0.82),
        result(method="ODM", in_accuracy=0.10, kind="anomaly"),
        result(method=BOTH, in_accuracy=0.93, fpr95=0.23, auroc=0.83),
        result(method=TWO_HEADS, in_accuracy=0.94, fpr95=0.24, auroc=0.84),
        result(method=TWO_HEADS, in_accuracy=0.96, fpr95=0.26, auroc=0.86, seed=1),
        result(method=TWO_HEADS, in_accuracy=0.10, fpr95=0.1, auroc=0.1, convention="seed"),
    ]
    append_rows(tmp_path / "table3.jsonl", rows)
    unseen = ("Tiny ImageNet (validation sample)", "LSUN (scenes stand-in)", "Gaussian noise")
    append_rows(
        tmp_path / "table1.jsonl",
        [
            result(
                method=TWO_HEADS,
                variant=SYNTHETIC,
                in_dist="SVHN",
                out_dist=name,
                kind="anomaly",
                in_accuracy=0.9,
                fpr95=fpr95,
                auroc=0.5,
            )
            for name, fpr95 in zip((*unseen, "CIFAR-10"), (0.1, 0.2, 0.6, 0.9), strict=True)
        ],
    )
    page = write_two_heads(tmp_path)
    assert page
    digits, svhn = page.read_text().splitlines()[6:8]
    assert digits == (
        "| MNIST 2, 6, 7 | seen | 91.00 | 92.00 | 95.00 "
        "| 22.00 / 82.00 | 23.00 / 83.00 | 25.00 / 85.00 | 2 |"
    )
    assert svhn == "| SVHN | synthetic | – | – | 90.00 | – | – | 30.00 / 50.00 | 1 |"
