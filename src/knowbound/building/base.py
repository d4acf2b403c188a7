"""What is trained first: a network on the known images alone."""

from dataclasses import asdict, replace
from pathlib import Path

from knowbound.backbones import Backbone
from knowbound.building.kept_network import keep_network, load_network
from knowbound.building.parts import OnStep
from knowbound.data.source import Source
from knowbound.objectives.objective import Objective
from knowbound.provenance import commit
from knowbound.training import Training, train
from knowbound.values import JsonMapping, JsonObject


def train_base(
    backbone: Backbone,
    objective: Objective,
    training: Training,
    learned: Source,
    path: Path | None = None,
    *,
    resume: bool = True,
    identity: JsonMapping | None = None,
    on_step: OnStep | None = None,
) -> JsonObject:
    """Train a network on the known images alone, in place, or load it where it was kept.

    Args:
        backbone: with fresh weights.
        objective: what it is trained with.
        training: for how long.
        learned: in-distribution training images.
        path: where the trained network is kept, and beside it the state of one that is cut off.
        resume: whether to take what is kept.
        identity: what it must agree with, beside the settings.
        on_step: called after every step.

    Returns:
        What to note: settings, seconds, images, pace, commit, and the commits of all its runs.
    """
    settings = {
        "training": asdict(training),
        "objective": objective.to_dict(),
        "identity": dict(identity or {}),
        "network": backbone.settings,
    }
    kept = load_network(path, backbone, settings) if path and resume else None
    if kept is None:
        running = path.with_suffix(".running.safetensors") if path else None
        trained = train(
            backbone,
            learned,
            [],
            objective,
            training,
            checkpoint=running,
            resume=resume,
            identity={**(identity or {}), "settings": backbone.settings},
            on_step=(lambda step: on_step(replace(step, stage="base"))) if on_step else None,
        )
        kept = {
            **settings,
            "seconds": round(trained.seconds, 2),
            "images": trained.images,
            "pace": trained.pace.to_dict(),
            "commit": commit(),
            "commits": list(trained.commits),
        }
        if path and running and trained.is_main_process:
            keep_network(path, backbone, kept)
            running.unlink(missing_ok=True)
    return {name: value for name, value in kept.items() if name not in ("identity", "network")}
