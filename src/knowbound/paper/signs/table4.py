"""Table 4 of the paper: Table 2 on ten random splits of the classes; the table shows mean and
standard deviation over them."""

from collections.abc import Sequence
from pathlib import Path

from knowbound.paper.cells import OnStep, write_table
from knowbound.paper.signs.class_splits import RANDOM_SPLITS, ClassSplit, class_split
from knowbound.paper.signs.scale import SHORT_CPU, Scale, about_scales
from knowbound.paper.signs.split import TsinghuaImages, read_tsinghua
from knowbound.paper.signs.table2 import (
    ABOUT_ODIN,
    AUPR_NOTE,
    and_three_networks,
    run_experiments,
    tsinghua_experiments,
)
from knowbound.result import Result, read_rows


def reproduce(
    data: Path,
    results: Path,
    *,
    scale: Scale = SHORT_CPU,
    splits: Sequence[int] = range(RANDOM_SPLITS),
    keep_models: bool = False,
    on_step: OnStep | None = None,
) -> list[Result]:
    """All rows of Table 4, and most of Table 2's rows of our own.

    Cells already in ``results/table4.jsonl`` are kept; one that was cut off continues.

    Args:
        data: the folder that holds tt100k/ and background/.
        results: where the rows go.
        scale: of the networks and their training.
        splits: which of the ten random splits.
        keep_models: keep every trained boundary in ``results/models``.
        on_step: called after every step.

    Raises:
        UserError: files are missing.
    """
    return reproduce_on(
        read_tsinghua(data, scale.size),
        [class_split(restricted=False, index=index) for index in splits],
        results,
        scale=scale,
        keep_models=keep_models,
        on_step=on_step,
    )


def reproduce_on(
    images: TsinghuaImages,
    splits: Sequence[ClassSplit],
    results: Path,
    *,
    scale: Scale = SHORT_CPU,
    keep_models: bool = False,
    on_step: OnStep | None = None,
) -> list[Result]:
    """As ``reproduce``, on images that were read and classes that were split."""
    for classes in splits:
        rows = tsinghua_experiments(images, classes, scale, experiment="table4")
        experiments = and_three_networks(rows, scale.base)
        run_experiments(
            experiments, results, base=scale.base, keep_models=keep_models, on_step=on_step
        )
    return list(read_rows(results / "table4.jsonl"))


def write_table4(results: Path) -> Path:
    """``results/table4.md`` from ``results/table4.jsonl`` and nothing else: our numbers beside the
    paper's."""
    return write_table(results, "table4", "Table 4: traffic signs, random splits", INTRO, AUPR_NOTE)


INTRO = (
    "Generated from `table4.jsonl` by `knowbound reproduce table4`. The random splits of the "
    "classes are ours (`paper/signs/class_splits.json`): the paper's were not released, so the "
    "paper's numbers are means over other splits. Rows with composed images, with synthetic "
    "outliers, with every block or of three networks are ours too: every block scores the same "
    "networks by all their activations; three networks judge together, each trained in the same "
    "steps as the one of the other rows, from a base of its own.\n\n"
    f"{about_scales(SHORT_CPU)} {ABOUT_ODIN}"
)
