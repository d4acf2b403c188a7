"""One network trained once on a split's in-distribution images, from which several rows start: many
trainings cost less.

The rows stay comparable: each starts from the same weights for the same number of steps, and
cross-entropy, whose network shares nothing, gets all the steps in one training.
"""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from knowbound.backbones import Backbone
from knowbound.building import train_base
from knowbound.experiment import Experiment
from knowbound.objectives.objective import Objective
from knowbound.paper.cells import OnStep, cell_name
from knowbound.provenance import commit
from knowbound.training.settings import Training


def start_from_base(
    rows: Sequence[Experiment],
    objective: Objective,
    base: Training,
    folder: Path,
    on_step: OnStep | None = None,
) -> list[Experiment]:
    """The rows, each with the base's weights to start from and in its note how they came about.

    Args:
        rows: experiments on one split of the images, with one backbone.
        objective: what the base is trained with, on the in-distribution images alone.
        base: for how long.
        folder: keeps the trained base, and the state of one that is cut off.
        on_step: called after every step of the base.
    """
    commit()  # the rows' own, noted before the base is trained
    experiment = replace(
        rows[0],
        method="base",
        variant=" and ".join(objective.heads),
        objective=objective,
        training=base,
        split=rows[0].split.without_seen_out(),
    )
    path = folder / f"{cell_name(experiment)}.safetensors"
    torch.manual_seed(base.seed)
    train_split = experiment.split.train
    backbone = experiment.backbone(**objective.head_sizes(len(train_split.class_names)))
    note = train_base(
        backbone,
        objective,
        base,
        train_split,
        path,
        identity={"images": train_split.sha256()},
        on_step=partial(on_step, experiment) if on_step else None,
    )
    words = "the split's base, trained on in-distribution images alone"
    started_from = {"started_from": {"network": words, **note}}
    return [
        replace(row, backbone=partial(copy_of, backbone), note={**row.note, **started_from})
        for row in rows
    ]


def copy_of(network: Backbone, **heads: int) -> Backbone:
    """A copy of a trained network, for rows that start from its weights.

    Args:
        network: the trained one.
        heads: sizes that would be asked for; the network keeps its own.
    """
    del heads
    return deepcopy(network)
