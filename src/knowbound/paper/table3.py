"""Table 3 of the paper: CE, ML and ODM on MNIST, row by row into ``results/table3.jsonl``; and Figure 1 from the same models."""

from collections.abc import Callable, Sequence
from pathlib import Path

from knowbound.experiment import Experiment, run
from knowbound.files import replace_file
from knowbound.paper.mnist import mnist_experiments, mnist_split
from knowbound.paper.published import published
from knowbound.report import markdown_table
from knowbound.report.evidence import Evidence
from knowbound.result import Result, append_rows, read_rows
from knowbound.training import Progress

OnStep = Callable[[Experiment, Progress], None]


def reproduce(
    data: Path,
    results: Path,
    *,
    seeds: Sequence[int] = (0, 1, 2),
    download: bool = False,
    on_step: OnStep | None = None,
) -> list[Result]:
    """All rows of Table 3.  Cells already in ``results/table3.jsonl`` are kept; a cell that was cut off continues.

    data: the folder that holds mnist/, svhn/ and cifar10/.  Raises UserError for missing files.
    """
    path = results / "table3.jsonl"
    split = mnist_split(data, download=download)
    for seed in seeds:
        for experiment in mnist_experiments(split, seed):
            run_missing(experiment, path, on_step)
    return list(read_rows(path))


def write_table3(results: Path) -> Path:
    """``results/table3.md`` from ``results/table3.jsonl`` and nothing else: our numbers beside the paper's, in two conventions."""
    rows = list(read_rows(results / "table3.jsonl"))
    paper = published("table3")
    parts = ["# Table 3: MNIST 2, 6, 7 against novelties, noise, SVHN and CIFAR-10\n", INTRO]
    for convention in ("exact", "seed"):
        parts.append(f"\n## Convention `{convention}`\n")
        parts.append(markdown_table(rows, paper, convention=convention, aupr_note=AUPR_NOTE))
    path = results / "table3.md"
    replace_file(path, "\n".join(parts).encode())
    return path


INTRO = (
    "Generated from `table3.jsonl` by `knowbound reproduce table3`. How our set-up and the paper's differ, and what was tried, "
    "stands in [docs/table3.md](../docs/table3.md).\n"
)
AUPR_NOTE = (
    "AUPR depends on the sizes of the sets. The paper tests on all 26,032 SVHN digits and does not print its other counts; ours "
    "are in the table, so the AUPR columns of SVHN are not comparable."
)


def run_missing(experiment: Experiment, path: Path, on_step: OnStep | None) -> None:
    """Run an experiment unless its rows are already in the file; append them when it is done."""
    cell = (experiment.scale, experiment.method, experiment.variant, experiment.split.name, experiment.training.seed)
    if any(cell == (r.scale, r.method, r.variant, r.split, r.seed) for r in read_rows(path)):
        return
    name = "-".join(str(part) for part in cell if part != "").replace(" ", "_").replace(",", "")
    checkpoint = path.parent / ".running" / f"{experiment.experiment}-{name}.safetensors"
    outcome = run(experiment, checkpoint=checkpoint, on_step=(lambda progress: on_step(experiment, progress)) if on_step else None)
    append_rows(path, outcome.evidence.results)
    checkpoint.unlink(missing_ok=True)


def figure1_evidence(data: Path, *, seed: int = 0, download: bool = False, on_step: OnStep | None = None) -> list[Evidence]:
    """CE, ML and ODM with 3-dimensional outputs, as Figure 1 shows them (Table 3 allows ML and ODM 5)."""
    split = mnist_split(data, download=download)
    evidence = []
    for experiment in mnist_experiments(split, seed, experiment="figure1", dim=3):
        outcome = run(experiment, on_step=(lambda p, e=experiment: on_step(e, p)) if on_step else None)  # type: ignore[misc]
        evidence.append(outcome.evidence)
    return evidence
