"""Table 4 of the paper: Table 2 on ten random splits of the classes; the table shows mean and standard deviation over them."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from knowbound.experiment import Experiment
from knowbound.objectives import Contrastive
from knowbound.objectives.batches import BalancedBatches
from knowbound.paper import table2
from knowbound.paper.cells import OnStep, cell_of, has_rows, write_table
from knowbound.paper.shared_base import start_from_base, without_outs
from knowbound.paper.table2 import ABOUT_ODIN, AUPR_NOTE, DIM, MARGIN, run_experiments, tsinghua_experiments
from knowbound.paper.tsinghua import read_tsinghua
from knowbound.paper.tsinghua_splits import RANDOM_SPLITS, class_split
from knowbound.result import Result, read_rows

SHORT = replace(table2.CPU.training, rise=0.1)
BASE = replace(SHORT, steps=2_400, resolution=((0.0, 0.67), (0.4, 0.83), (0.8, 1.0)))
CPU = replace(
    table2.CPU,
    training=replace(SHORT, steps=500, learning_rate=2e-3, resolution=((0.0, 1.0),)),
    batches=BalancedBatches(images=48, outs=16),
    same_share=0.25,
    gain=10.0,
    size=24,
    base=BASE,
)
"""Sixty trainings in two hours: images of 16, 20, then 24 pixels, half of Table 2's images a step, a base that rows share."""


def choose_scale(name: str, *, compile: bool | None = None) -> table2.Scale:
    """The scale of that name, ``cpu`` or, as in Table 2, ``paper``.  Raises UserError for another name."""
    if name == CPU.name:
        return replace(CPU, training=replace(CPU.training, compile=compile), base=replace(BASE, compile=compile))
    return table2.choose_scale(name, compile=compile)


def reproduce(
    data: Path,
    results: Path,
    *,
    scale: table2.Scale | None = None,
    splits: Sequence[int] = range(RANDOM_SPLITS),
    keep_models: bool = False,
    on_step: OnStep | None = None,
) -> list[Result]:
    """All rows of Table 4, and Table 2's row of our own.

    Cells already in ``results/table4.jsonl`` are kept; one that was cut off continues.  data: the folder that holds
    tt100k/ and background/; scale: by default that of ``cpu``; splits: which of the ten random splits.
    Raises UserError for missing files.
    """
    scale = scale or choose_scale("cpu")
    images = read_tsinghua(data, scale.size)
    for index in splits:
        classes = class_split(restricted=False, index=index)
        experiments: Sequence[Experiment] = tsinghua_experiments(images, classes, scale, experiment="table4")
        if scale.base:
            experiments = _share_base(experiments, scale, results, on_step)
        run_experiments(experiments, results, keep_models=keep_models, on_step=on_step)
    return list(read_rows(results / "table4.jsonl"))


def _share_base(experiments: Sequence[Experiment], scale: table2.Scale, results: Path, on_step: OnStep | None) -> list[Experiment]:
    """The rows that are still missing; ML and ODM go on from one base, and ODIN gets the steps of both in one training."""
    assert scale.base is not None
    missing = [e for e in experiments if not has_rows(results / "table4.jsonl", *cell_of(e))]
    both = replace(scale.base, steps=scale.base.steps + scale.training.steps)
    odin = [replace(e, training=replace(both, seed=e.training.seed)) for e in missing if e.method == "ODIN"]
    embeddings = [e for e in missing if e.method != "ODIN"]
    if not embeddings:
        return odin
    objective = Contrastive(margin=MARGIN, dim=DIM, rule=without_outs(scale.batches), same_share=scale.same_share)
    base = replace(scale.base, seed=embeddings[0].training.seed)
    return [*odin, *start_from_base(embeddings, objective, base, results / ".running", on_step)]


def write_table4(results: Path) -> Path:
    """``results/table4.md`` from ``results/table4.jsonl`` and nothing else: our numbers beside the paper's."""
    return write_table(results, "table4", "Table 4: traffic signs, random splits", INTRO, AUPR_NOTE)


INTRO = (
    "Generated from `table4.jsonl` by `knowbound reproduce table4`. The random splits of the classes are ours "
    "(`paper/tsinghua_splits.json`): the paper's were not released, so the paper's numbers are means over other splits. The last "
    "method, which also sees images composed of the known signs, is ours too.\n\n"
    "Scale `cpu`: WRN-16-2, everything at 24 pixels. ML and ODM of a split go on from one network, which was trained with the "
    f"contrastive loss on {BASE.steps:,} batches of 64 in images of 16, then 20, then 24 pixels; each goes on for "
    f"{CPU.training.steps} steps of 48 in images and, for ODM, 16 outs. ODIN is trained from the start, on "
    f"{BASE.steps + CPU.training.steps:,} batches of 64. Same-class pairs weigh a quarter of the loss, and the last layer starts "
    f"with ten times the usual weights. Scale `paper`: WRN-28-10, 10,000 steps of Adam at 1e-4. {ABOUT_ODIN}"
)
