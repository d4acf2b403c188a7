"""One network trained once on a split's in images, from which several rows of a table go on: many
trainings cost less.

The rows stay comparable: each goes on from the same weights for the same number of steps, and
cross-entropy, whose network shares nothing, gets all the steps in one training.
"""

import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from knowbound.backbones import Backbone
from knowbound.experiment import Experiment
from knowbound.files import replace_file
from knowbound.objectives.batches import BalancedBatches
from knowbound.objectives.objective import Objective
from knowbound.paper.cells import OnStep, cell_name
from knowbound.provenance import commit
from knowbound.training.loop import train
from knowbound.training.settings import Training


def start_from_base(
    rows: Sequence[Experiment],
    objective: Objective,
    base: Training,
    folder: Path,
    on_step: OnStep | None = None,
) -> list[Experiment]:
    """The rows, each with the base's weights to start from and in its note how they came about.

    rows: experiments on one split of the images, with one backbone; objective: what the base is
    trained with, on the in images alone; base: for how long; folder: keeps the trained base, and
    the state of one that is cut off.
    """
    commit()  # the rows' own, noted before the base is trained
    experiment = replace(
        rows[0],
        method="base",
        variant="",
        objective=objective,
        training=base,
        split=rows[0].split.without_seen_out(),
    )
    path = folder / f"{cell_name(experiment)}.safetensors"
    torch.manual_seed(base.seed)
    classes = len(experiment.split.train.class_names)
    backbone = experiment.backbone(**objective.head_sizes(classes))
    settings = {
        "training": asdict(base),
        "objective": objective.to_dict(),
        "images": experiment.split.train.sha256(),
    }
    note = _load(path, backbone, settings) or _train(experiment, backbone, settings, path, on_step)
    started_from = {
        "started_from": {"network": "the split's base, trained on in images alone", **note}
    }
    return [
        replace(row, backbone=partial(copy_of, backbone), note={**row.note, **started_from})
        for row in rows
    ]


def without_outs(rule: BalancedBatches) -> BalancedBatches:
    """The same number of images in a batch, all of them in-distribution."""
    return replace(rule, images=rule.images + rule.outs, outs=0)


def _load(path: Path, backbone: Backbone, settings: Mapping[str, Any]) -> dict[str, Any] | None:
    from safetensors import safe_open

    if not path.exists():
        return None
    with safe_open(path, framework="pt") as file:
        note = json.loads(file.metadata()["note"])
        if {name: note[name] for name in settings} != json.loads(json.dumps(settings)):
            return None  # of other settings
        backbone.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118  (not a dict)
    return dict(note)


def _train(
    experiment: Experiment,
    backbone: Backbone,
    settings: Mapping[str, Any],
    path: Path,
    on_step: OnStep | None,
) -> dict[str, Any]:
    from safetensors.torch import save

    running = path.with_suffix(".running.safetensors")
    trained = train(
        backbone,
        experiment.split.train,
        [],
        experiment.objective,
        experiment.training,
        checkpoint=running,
        resume=True,
        identity={"images": settings["images"]},
        on_step=partial(on_step, experiment) if on_step else None,
    )
    note = {**settings, "seconds": round(trained.seconds, 2), "pace": trained.pace.to_dict()}
    tensors = {name: value.contiguous() for name, value in backbone.state_dict().items()}
    replace_file(path, save(tensors, {"note": json.dumps(note)}))
    running.unlink(missing_ok=True)
    return note


def copy_of(network: Backbone, **heads: int) -> Backbone:
    """A copy of a trained network, for rows that start from its weights; heads: its own are kept."""
    del heads
    return deepcopy(network)
