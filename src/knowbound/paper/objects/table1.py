"""Table 1 of the paper: every method on SVHN and on CIFAR-10, cell by cell into
``results/table1.jsonl``."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from knowbound.boundary.boundary import Boundary
from knowbound.boundary.model_file import DESCRIPTION
from knowbound.experiment import Experiment, run
from knowbound.paper.cells import OnStep, cell_name, cell_of, has_rows, run_missing
from knowbound.paper.objects.experiments import (
    ENERGY,
    ccag_experiment,
    ce_experiment,
    energy_experiment,
    odm_experiments,
    seen_out_experiments,
)
from knowbound.paper.objects.rows import legacy_rows, odm_rows, rows_of_detectors
from knowbound.paper.objects.scale import CPU, Scale
from knowbound.paper.objects.split import (
    IN_DISTS,
    Pictures,
    read_pictures,
    seen_validation,
    table1_split,
)
from knowbound.paper.own_rows import TWO_HEADS
from knowbound.report.drawing import check_can_draw
from knowbound.result import Result, read_rows


def reproduce(
    data: Path,
    results: Path,
    *,
    scale: Scale = CPU,
    in_dists: Sequence[str] = IN_DISTS,
    seed: int = 0,
    download: bool = False,
    on_step: OnStep | None = None,
) -> list[Result]:
    """All rows of Table 1.  Cells already in ``results/table1.jsonl`` are kept; a cell that was cut
    off continues.

    The cross-entropy networks are kept in ``results/models``: energy fine-tuning starts from them.

    Args:
        data: the folder that holds svhn/, cifar10/, tinyimagenet/ and lsun/ or scenes_colour/.
        results: where the rows go.
        scale: networks and trainings.
        in_dists: which of the two blocks.
        seed: of everything random.
        download: whether to fetch SVHN and CIFAR-10.
        on_step: called after every step.

    Raises:
        UserError: files are missing, or CC-AG's pictures cannot be drawn.
    """
    pictures = read_pictures(data, download=download).subset(scale.train, scale.test)
    for in_dist in in_dists:
        run_in_dist(pictures, in_dist, scale, results, seed, on_step)
    return list(read_rows(results / "table1.jsonl"))


def run_in_dist(
    pictures: Pictures, in_dist: str, scale: Scale, results: Path, seed: int, on_step: OnStep | None
) -> None:
    """The rows of one in-distribution that are not in ``results/table1.jsonl`` yet.

    Raises:
        UserError: CC-AG's rows are to be made and its pictures cannot be drawn; before any
            training.
    """
    path, models = results / "table1.jsonl", results / "models"
    split = table1_split(pictures, in_dist)
    sheets = results / f"table1_ccag_{in_dist.lower()}_{scale.name}.png"
    ccag = ccag_experiment(split, scale, sheets, seed)
    if not has_rows(path, *cell_of(ccag)):
        check_can_draw()
    ce = ce_experiment(split, scale, seed)
    detectors = partial(rows_of_detectors, tuning=seen_validation(pictures, in_dist))
    run_missing(ce, path, on_step, models=models, more_rows=detectors)
    for experiment in odm_experiments(split, scale, seed):
        more_rows = legacy_rows if experiment.method == TWO_HEADS else odm_rows
        run_missing(experiment, path, on_step, more_rows=more_rows)
    for experiment in seen_out_experiments(split, scale, seed):
        run_missing(experiment, path, on_step, more_rows=legacy_rows)
    if not has_rows(
        path, scale.name, ENERGY, "", split.name, seed
    ):  # its margins are those of a trained network
        kept = models / cell_name(ce)
        boundary = (
            Boundary.load(kept)
            if (kept / DESCRIPTION).exists()
            else _train_again(ce, kept, on_step)
        )
        run_missing(
            energy_experiment(split, scale, boundary, seed), path, on_step, more_rows=legacy_rows
        )
    run_missing(ccag, path, on_step, more_rows=legacy_rows)


def _train_again(ce: Experiment, folder: Path, on_step: OnStep | None) -> Boundary:
    """The max-softmax row's boundary where its rows are there but the model was not kept."""
    outcome = run(ce, on_step=partial(on_step, ce) if on_step else None)
    outcome.boundary.save(folder)
    return outcome.boundary
