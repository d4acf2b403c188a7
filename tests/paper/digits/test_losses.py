"""The table of losses: which cells it has, and what its page says of rows."""

from dataclasses import replace

import numpy as np

from knowbound.data.source import Source
from knowbound.data.split import OutSet, Split
from knowbound.detectors import NearestCentre
from knowbound.labels import Kind
from knowbound.names import OBJECTIVES
from knowbound.paper.cells import cell_of
from knowbound.paper.digits.losses import loss_experiments, losses_table
from knowbound.result import Numbers, Result, Run


def small_split() -> Split:
    images = np.zeros((6, 1, 28, 28), dtype=np.uint8)
    inside = Source("digits", images, np.repeat([0, 1, 2], 2), ("2", "6", "7"))
    out = OutSet(inside.without_labels(), Kind.NOVELTY)
    return Split("digits", inside, inside, inside, (out,), (out,))


def test_every_loss_has_its_cells_with_one_budget() -> None:
    experiments = loss_experiments(small_split(), seed=3)
    assert len({cell_of(e) for e in experiments}) == len(experiments)
    assert len({e.training for e in experiments}) == 1
    named = {"CE": "ce", "ML": "ml", "ODM": "odm"}
    assert {named.get(e.method, e.method) for e in experiments} == set(OBJECTIVES)
    for experiment in experiments:
        objective, seen = experiment.objective, bool(experiment.split.seen_out)
        assert seen or not objective.needs_outs
        assert (experiment.detector is NearestCentre) == (objective.heads[0] == "embedding")
        assert objective.head_sizes(3).get("embedding", 5) == 5


def test_validation_rows_are_filed_apart() -> None:
    names = {
        e.experiment
        for validation in (True, False)
        for e in loss_experiments(small_split(), 0, validation=validation)
    }
    assert names == {"losses", "losses_validation"}


def row(out_dist: str, kind: str, fpr95: float, auroc: float, **of_run: object) -> Result:
    run = Run(
        experiment="losses",
        scale="cpu",
        method="ranking",
        variant="",
        backbone="LeNet",
        in_dist="MNIST 2, 6, 7",
        split="s",
        seed=0,
        seen_out=(),
        detector="NearestCentre",
        train_seconds=1.0,
        train_images=10,
    )
    numbers = Numbers(fpr95, 0.1, auroc, 0.9, 0.9)
    return Result(
        run=replace(run, **of_run),  # type: ignore[arg-type]
        out_dist=out_dist,
        kind=kind,
        seen=False,
        convention="exact",
        n_in=30,
        n_out=20,
        in_accuracy=0.99,
        numbers=numbers,
    )


def test_a_line_is_the_mean_over_runs_and_over_anomalies() -> None:
    rows = [
        row("Novelty", "novelty", 0.10, 0.90),
        row("Gaussian noise", "anomaly", 0.00, 1.00),
        row("SVHN", "anomaly", 0.02, 0.98),
        row("Novelty", "novelty", 0.20, 0.80, seed=1),
        row("Novelty", "novelty", 0.01, 0.99, seen_out=("digits",)),
        row("SVHN", "anomaly", 0.50, 0.60, seen_out=("digits",)),
    ]
    assert losses_table(rows)[2:] == [
        "| ranking | no | 99.00 | 15.00 | 85.00 | 1.00 | 99.00 | 2 |",
        "| ranking | yes | 99.00 | 1.00 | 99.00 | 50.00 | 60.00 | 1 |",
    ]
