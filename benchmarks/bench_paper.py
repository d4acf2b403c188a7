"""Time to the paper: seconds from the start of training to Table 3's ODM row judged, on the real
MNIST.

    KNOWBOUND_DATA=data python -m benchmarks.bench_paper [--quick]

The table trains 1,500 steps; here are 700, after which the validation AUROC no longer moves by more
than a tenth of a percent. Where KNOWBOUND_DATA names no folder with mnist/, svhn/ and cifar10/, a
line says so and nothing is measured.
"""

import os
import time
from dataclasses import replace
from pathlib import Path

from benchmarks.timing import heading, quick
from knowbound.experiment import run
from knowbound.paper.digits.split import mnist_experiments, mnist_split
from knowbound.paper.published import published

STEPS = 700


def main(quickly: bool = False) -> None:
    """Print the table."""
    heading()
    folder = os.environ.get("KNOWBOUND_DATA")
    if not folder:
        print(
            "| Table 3's ODM row: set KNOWBOUND_DATA to the folder of the data to measure it | | "
            "| |",
            flush=True,
        )
        return
    split = mnist_split(Path(folder))
    *_, odm = mnist_experiments(split, 0)
    began = time.perf_counter()
    outcome = run(replace(odm, training=replace(odm.training, steps=70 if quickly else STEPS)))
    taken = time.perf_counter() - began
    row = next(
        r for r in outcome.evidence.results if r.out_dist == "Novelty" and r.convention == "exact"
    )
    paper = next(p for p in published("table3") if p.matches(row))
    detail = f"{taken:.0f} s, of which training {outcome.trained.seconds:.0f} s; novelty AUROC {100 * row.numbers.auroc:.2f}, "
    print(
        f"| Table 3's ODM row, trained and judged | | under 60 s | {detail}paper "
        f"{100 * paper.auroc:.2f} |",
        flush=True,
    )


if __name__ == "__main__":
    main(quick(__doc__))
