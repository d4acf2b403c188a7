"""Table 3 of the paper: CE, ML and ODM on MNIST, row by row into ``results/table3.jsonl``; and
Figure 1 from the same models."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from knowbound.evidence import Evidence
from knowbound.experiment import run
from knowbound.paper.cells import OnStep, run_missing, write_table
from knowbound.paper.digits.split import mnist_experiments, mnist_split
from knowbound.paper.own_rows import (
    by_three_networks,
    rows_of_blocks,
    synthetic_rows,
    with_two_heads,
)
from knowbound.report.drawing import check_can_draw
from knowbound.result import Result, read_rows


def reproduce(
    data: Path,
    results: Path,
    *,
    seeds: Sequence[int] = (0, 1, 2),
    download: bool = False,
    on_step: OnStep | None = None,
) -> list[Result]:
    """All rows of Table 3.  Cells already in ``results/table3.jsonl`` are kept; a cell that was cut
    off continues.

    Args:
        data: the folder that holds mnist/, svhn/ and cifar10/.
        results: where the rows go.
        seeds: one block of rows each.
        download: whether to fetch missing files.
        on_step: called after every step.

    Raises:
        UserError: files are missing.
    """
    path = results / "table3.jsonl"
    split = mnist_split(data, download=download)
    for seed in seeds:
        ce, ml, odm = mnist_experiments(split, seed)
        run_missing(ce, path, on_step)
        synthetic = synthetic_rows(odm)
        for experiment in (ml, odm, *synthetic, *map(by_three_networks, synthetic)):
            run_missing(experiment, path, on_step, more_rows=rows_of_blocks)
        for experiment in (odm, synthetic[0]):
            run_missing(with_two_heads(experiment), path, on_step)
    return list(read_rows(path))


def write_table3(results: Path) -> Path:
    """``results/table3.md`` from ``results/table3.jsonl`` and nothing else: our numbers beside the
    paper's, in two conventions."""
    title = "Table 3: MNIST 2, 6, 7 against novelties, noise, SVHN and CIFAR-10"
    return write_table(results, "table3", title, INTRO, AUPR_NOTE)


INTRO = (
    "Generated from `table3.jsonl` by `knowbound reproduce table3`. How our set-up and the "
    "paper's differ, and what was tried, stands in [docs/table3.md](../docs/table3.md). Rows with "
    "synthetic outliers, with every block, with two heads or of three networks are ours: the first "
    "show images made from the known ones "
    "([docs/synthetic_outliers.md](../docs/synthetic_outliers.md)), the second score the same "
    "networks by the activations of every block, the third take the class from a head of its own "
    "([two heads](two_heads.md)). Three networks judge together, each trained in the same steps as "
    "the one of the other rows.\n"
)
AUPR_NOTE = (
    "AUPR depends on the sizes of the sets. The paper tests on all 26,032 SVHN digits and does "
    "not print its other counts; ours are in the table, so the AUPR columns of SVHN are not "
    "comparable."
)


def figure1_evidence(
    data: Path, *, seed: int = 0, download: bool = False, on_step: OnStep | None = None
) -> list[Evidence]:
    """CE, ML and ODM with 3-dimensional outputs, as Figure 1 shows them (Table 3 allows ML and ODM
    5).

    Raises:
        UserError: files are missing, or the figure cannot be drawn; before any training.
    """
    check_can_draw()
    split = mnist_split(data, download=download)
    experiments = mnist_experiments(split, seed, experiment="figure1", dim=3)
    return [
        run(experiment, on_step=partial(on_step, experiment) if on_step else None).evidence
        for experiment in experiments
    ]
