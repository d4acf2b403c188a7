"""Every loss that the paper names on the MNIST split of Table 3, with one budget of steps."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean

from knowbound.data.split import Split
from knowbound.detectors import MaxSoftmax
from knowbound.experiment import Experiment
from knowbound.files import replace_file
from knowbound.objectives.choice import make_objective
from knowbound.paper.cells import OnStep, run_missing
from knowbound.paper.digits.split import mnist_experiments, mnist_split, mnist_validation_split
from knowbound.result import Result, read_rows

METRIC_LOSSES = (
    "triplet",
    "semihard_triplet",
    "n_pair",
    "lifted_structure",
    "histogram",
    "angular",
    "ranking",
    "multi_similarity",
    "two_heads",
)
"""Those that train with out-of-distribution images and without."""
CLASS_LOSSES = ("confidence", "oe")
"""Those that need them."""
TABLES = {False: "losses", True: "losses_validation"}
"""The experiment's name, by whether it is run on the validation split."""


def loss_experiments(
    split: Split, seed: int, *, validation: bool = False, dim: int = 5
) -> tuple[Experiment, ...]:
    """CE, ML and ODM as in Table 3, and every other loss in its usual settings in their place.

    Args:
        split: of MNIST, with seen out-of-distribution images.
        seed: of everything random.
        validation: whether it is the validation split.
        dim: length of the embedding.
    """
    ce, ml, odm = mnist_experiments(split, seed, experiment=TABLES[validation], dim=dim)
    found = [ce, ml, odm]
    for name in METRIC_LOSSES:
        objective = make_objective(name, dim=dim, outs=True)
        for base in (ml, odm):
            variant = "seen out" if base.split.seen_out else ""
            found.append(replace(base, method=name, variant=variant, objective=objective))
    for name in CLASS_LOSSES:
        objective = make_objective(name, outs=True)
        seen = replace(odm, method=name, variant="seen out")
        found.append(replace(seen, objective=objective, detector=MaxSoftmax))
    return tuple(found)


def reproduce(
    data: Path,
    results: Path,
    *,
    seeds: Sequence[int] = (0,),
    validation: bool = False,
    download: bool = False,
    on_step: OnStep | None = None,
) -> list[Result]:
    """All rows of ``results/losses.jsonl``, or of ``losses_validation.jsonl``; those that are
    already there are kept.

    Args:
        data: the folder that holds mnist/, svhn/ and cifar10/.
        results: where the rows go.
        seeds: one run of every loss for each.
        validation: whether to run on the split on which settings are chosen.
        download: whether to fetch missing official files.
        on_step: called after every step.

    Raises:
        UserError: missing files, or pytorch-metric-learning is not installed.
    """
    path = results / f"{TABLES[validation]}.jsonl"
    split = mnist_validation_split(data) if validation else mnist_split(data, download=download)
    for seed in seeds:
        for experiment in loss_experiments(split, seed, validation=validation):
            run_missing(experiment, path, on_step)
    return list(read_rows(path))


def write_losses(results: Path, *, validation: bool = False) -> Path:
    """The page of the losses from its rows and nothing else: one line for each loss."""
    table = TABLES[validation]
    rows = [row for row in read_rows(results / f"{table}.jsonl") if row.convention == "exact"]
    path = results / f"{table}.md"
    replace_file(path, "\n".join([TITLE, INTRO, *losses_table(rows), NOTE, ""]).encode())
    return path


def losses_table(rows: Sequence[Result]) -> list[str]:
    """The lines of the Markdown table, in order of appearance: means over seeds, in percent."""
    cells: dict[tuple[str, bool], list[Result]] = {}
    for row in rows:
        cells.setdefault((row.run.method, bool(row.run.seen_out)), []).append(row)
    lines = ["| " + " | ".join(HEADINGS) + " |", "| --- | --- |" + " ---: |" * (len(HEADINGS) - 2)]
    for (method, seen), these in cells.items():
        novelty = [row for row in these if row.kind == "novelty"]
        anomaly = [row for row in these if row.kind == "anomaly"]
        numbers = (
            mean(row.in_accuracy for row in novelty if row.in_accuracy is not None),
            mean(row.numbers.fpr95 for row in novelty),
            mean(row.numbers.auroc for row in novelty),
            mean(row.numbers.fpr95 for row in anomaly),
            mean(row.numbers.auroc for row in anomaly),
        )
        shown = " | ".join(f"{100 * number:.2f}" for number in numbers)
        lines.append(f"| {method} | {'yes' if seen else 'no'} | {shown} | {len(novelty)} |")
    return lines


HEADINGS = (
    "Loss",
    "Out-of-distribution images seen",
    "In-dist accuracy",
    "Novelty FPR95",
    "Novelty AUROC",
    "Anomalies FPR95",
    "Anomalies AUROC",
    "Runs",
)
TITLE = "# Losses: MNIST 2, 6, 7, LeNet, one budget\n"
INTRO = (
    "Generated by `knowbound reproduce losses`. Every loss has the settings of its source "
    "([docs/objectives.md](../docs/objectives.md)); none was tuned here. Metric losses are judged "
    "by the distance to the nearest class centre, the others by the largest softmax probability.\n"
)
NOTE = (
    "\nPercent, convention exact. Anomalies: mean over Gaussian noise, SVHN and CIFAR-10. Seen: "
    "other digits than those of the novelty, without labels."
)
