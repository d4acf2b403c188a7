"""From a folder of labelled images to a boundary, in one call: what a practitioner uses."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from knowbound.backbones.backbone import Depth
from knowbound.boundary import Boundary
from knowbound.boundary.boundary import Judging
from knowbound.boundary.conformal import least_groups
from knowbound.boundary.selective_risk import ErrorNotKept
from knowbound.boundary.threshold import ClassAcceptance
from knowbound.building import Parts, build
from knowbound.building.frozen import FrozenParts, build_frozen
from knowbound.data.pictures.copies import fingerprints
from knowbound.data.source import Source
from knowbound.data.split import OutSet
from knowbound.errors import UserError
from knowbound.files import check_writable
from knowbound.files.lock import locked
from knowbound.labels import Kind
from knowbound.model_folder.description import CHECKPOINT
from knowbound.objectives import Objective
from knowbound.training.loop import Progress
from knowbound.training.pace import Precision
from knowbound.training.processes import wait_for_processes
from knowbound.values import JsonObject
from knowbound.workflows.fitted import Fitted
from knowbound.workflows.hold_out import NOTED, Held, HoldOut, check_enough, note_hold_out, resumed
from knowbound.workflows.plan import Folders, Plan, plan_fit
from knowbound.workflows.settings import Settings


def fit(
    known: str | Path,
    outliers: Folders = (),
    *,
    novelties: Folders = (),
    anomalies: Folders = (),
    objective: str | Objective | None = None,
    synthetic: bool = True,
    detector: str | None = None,
    backbone: str = "auto",
    size: int | None = None,
    channels: int | None = None,
    dim: int | None = None,
    margin: float | None = None,
    networks: int = 1,
    steps: int | None = None,
    learning_rate: float | None = None,
    acceptance: float = 0.95,
    per_class: bool = False,
    confidence: float | None = None,
    max_error: float | None = None,
    group_by: str = "auto",
    held_out: float | None = None,
    precision: Precision = "auto",
    judging: Judging = "float32",
    compile: bool | None = None,
    seed: int = 0,
    audition: float = 0.2,
    fine_tune: Depth | None = None,
    memory_limit: int = 2 * 1024**3,
    progress: Callable[[int, int], None] | None = None,
    on_step: Callable[[Progress], None] | None = None,
) -> Boundary:
    """A calibrated boundary for a folder of labelled images (``known/class/...``) and folders of
    images of none of its classes.

    Args:
        known: labelled images, ``known/class/...``, or a list of them.
        outliers: folders of images of none of the classes.
        novelties: folders of images of other classes of the same kind of picture.
        anomalies: folders of images of nothing like the classes.
        objective: a name of ``knowbound.names.OBJECTIVES`` (default: ODM), or one of your own.
        synthetic: whether to show outliers made from the known images themselves.
        detector: a name of ``knowbound.detectors.DETECTORS`` (default
            nearest_centre or centre_and_stages, whichever is better on held-out
            images; under cross-entropy max_softmax).
        backbone: ``lenet``, ``wrn-16-2``, ``wrn-28-10``, ``efficientnet-lite0`` (frozen; also 1 and
            2), a folder or hub name of a vision network of ``transformers`` (frozen), or ``auto``
            by the images.
        size: side in pixels of the images the network takes (28 for LeNet, 32 for WRN).
        channels: 1 or 3 (default: grey if no picture has colour).
        dim: length of the embedding.
        margin: of a metric loss, in its own unit (default: the loss's).
        networks: how many are trained, from the seeds ``seed``, ``seed + 1``, ..., and judge
            together; each takes the time of one.
        steps: of the training.
        learning_rate: the largest.
        acceptance: share of new in-distribution images to accept, between 0 and 1.
        per_class: whether to set a threshold for each class with enough images.
        confidence: None promises the acceptance on average; 0.95 in 95% of all draws.
        max_error: accept fewer images where it takes that so that, with this confidence (0.95
            where none is stated), at most this share of the accepted ones has the wrong class.
        group_by: which images belong together beside copies: ``auto``, ``none``, ``folder``,
            ``name``, or a regular expression on the file's name.
        held_out: share of the images kept from training to set the threshold.
        precision: of the training: ``float32``, ``bf16``, or ``auto`` by the machine.
        judging: ``float32``, or ``bf16``, as in ``Boundary``.
        compile: whether to train with torch.compile.
        seed: of everything random.
        audition: share of the usual training's steps that ``auto`` may spend on trying networks.
        fine_tune: ``last`` or ``all``: fine-tune so much of a network with published weights.
        memory_limit: bytes of decoded images over which they are streamed.
        progress: called with (files done, files) while folders are read.
        on_step: called after every training step.

    Raises:
        UserError: folders or settings that cannot be used.
    """
    settings = Settings(
        objective=objective,
        synthetic=synthetic,
        detector=detector,
        backbone=backbone,
        size=size,
        channels=channels,
        dim=dim,
        margin=margin,
        networks=networks,
        steps=steps,
        learning_rate=learning_rate,
        acceptance=acceptance,
        per_class=per_class,
        confidence=confidence,
        max_error=max_error,
        group_by=group_by,
        held_out=held_out,
        precision=precision,
        judging=judging,
        compile=compile,
        seed=seed,
        audition=audition,
        fine_tune=fine_tune,
        memory_limit=memory_limit,
    )
    plan = plan_fit(
        known,
        outliers,
        settings,
        novelties=novelties,
        anomalies=anomalies,
        progress=progress,
        on_step=on_step,
    )
    return run_plan(plan, on_step=on_step).boundary


def run_plan(
    plan: Plan,
    *,
    output: Path | None = None,
    resume: bool = False,
    on_step: Callable[[Progress], None] | None = None,
) -> Fitted:
    """Train, fit the detector and calibrate; with ``output`` keep a checkpoint there and save the
    boundary at the end.

    Args:
        plan: from ``plan_fit``.
        output: folder of the model.
        resume: continue from the checkpoint in ``output``, bit for bit on a CPU.
        on_step: called after every training step.

    Raises:
        UserError: as ``train`` does, and before anything else where ``output`` cannot be written.
    """
    if output is None or not _is_main():  # the main process alone writes
        return _run(plan, output, resume, on_step)
    check_writable(output, plan.bytes_written)
    with locked(output):
        return _run(plan, output, resume, on_step)


def _run(
    plan: Plan, output: Path | None, resume: bool, on_step: Callable[[Progress], None] | None
) -> Fitted:
    hold_out = _hold_out(plan, output, resume)
    held = hold_out.draw(plan.known.source, plan.groups.ids)
    if hold_out.share:
        check_enough(plan.groups.ids[held.threshold], _least(plan))
    images = _Images(plan, hold_out, held)
    if isinstance(plan.parts, FrozenParts):
        return _run_frozen(images, plan.parts, output, on_step)
    return _run_trained(images, plan.parts, output, resume, on_step)


@dataclass(frozen=True, eq=False)
class _Images:
    """The known images of a plan, parted, and what is noted of all images."""

    plan: Plan
    hold_out: HoldOut
    held: Held

    @property
    def learned(self) -> Source:
        """What the network learns from."""
        known = self.plan.known.source
        return known.take(np.setdiff1d(np.arange(len(known)), np.concatenate(self.held)))

    @property
    def held_out(self) -> Source:
        """What the threshold is set from."""
        return self.plan.known.source.take(self.held.threshold)

    @property
    def choosing(self) -> Source | None:
        """What the detector is chosen by."""
        chosen_by = self.held.choosing
        return self.plan.known.source.take(chosen_by) if len(chosen_by) else None

    @property
    def declared(self) -> list[OutSet]:
        """Images whose kind the user knows."""
        return [
            *(OutSet(read.source, Kind.NOVELTY) for read in self.plan.novelties),
            *(OutSet(read.source, Kind.ANOMALY) for read in self.plan.anomalies),
        ]

    @property
    def hashes(self) -> dict[str, str]:
        """Of every set, by its role."""
        shown = {f"outliers {i + 1}": read.sha256 for i, read in enumerate(self.plan.shown)}
        return {"known": self.plan.known.sha256, **shown}

    @property
    def identity(self) -> JsonObject:
        """What a checkpoint must agree with: which images the network has not learned from."""
        kept = np.sort(np.concatenate(self.held))
        return {
            "held_out": self.plan.held_out,
            "group_by": self.plan.group_by,
            "held_out_images": sha256(kept.tobytes()).hexdigest(),
        }

    @property
    def note(self) -> JsonObject:
        """For the model's settings."""
        plan = self.plan
        return {
            "held_out": plan.held_out,
            "hold_out": self.hold_out.to_dict(),
            "group_by": plan.group_by,
            "groups": plan.groups.rule,
            "images": len(plan.known.source) - sum(map(len, self.held)),
            "outliers": [len(read.source) for read in plan.shown],
            **({"audition": plan.audition.to_dict()} if plan.audition.trials else {}),
        }


def _run_frozen(
    images: _Images,
    parts: FrozenParts,
    output: Path | None,
    on_step: Callable[[Progress], None] | None,
) -> Fitted:
    plan, held_out = images.plan, images.held.threshold
    built = build_frozen(
        parts,
        plan.known.source,
        [bytes.fromhex(digest) for digest in plan.known.pixel_sha256],
        held_out,
        images.declared,
        groups=plan.groups.ids,
        data_sha256=images.hashes,
        note=images.note,
        on_step=on_step,
    )
    accepted = _measured(
        built.boundary,
        built.scores,
        built.nearest,
        plan.known.source.labels[built.positions],
        plan.groups.ids[built.positions],
        in_turn=not len(held_out),
    )
    _keep(built.boundary, plan, output if _is_main() else None)
    sides = images.learned, images.held_out
    return Fitted(built.boundary, built.embedded, *sides, accepted, built.tuned)


def _run_trained(
    images: _Images,
    parts: Parts,
    output: Path | None,
    resume: bool,
    on_step: Callable[[Progress], None] | None,
) -> Fitted:
    plan, learned, held_out = images.plan, images.learned, images.held_out
    groups = plan.groups.ids[images.held.threshold]
    try:
        built = build(
            parts,
            learned,
            held_out,
            [*(read.source for read in plan.outliers), *images.declared],
            held_groups=groups,
            choosing=images.choosing,
            data_sha256=images.hashes,
            identity=images.identity,
            note=images.note,
            checkpoint=output / CHECKPOINT if output else None,
            resume=resume,
            on_step=on_step,
        )
    except ErrorNotKept as error:
        way = (
            f"; the training is kept: continue it with --resume --held-out {plan.held_out!r} and "
            "another --max-error, or none"
        )
        raise UserError(f"{error}{way if output and kept_state(output) else ''}") from error
    judged = built.boundary.judge(held_out)
    accepted = _measured(
        built.boundary,
        torch.from_numpy(judged.score),
        torch.from_numpy(judged.nearest),
        held_out.labels,
        groups,
    )
    _keep(built.boundary, plan, output if built.trained.is_main_process else None)
    return Fitted(built.boundary, built.trained, learned, held_out, accepted)


def _hold_out(plan: Plan, output: Path | None, resume: bool) -> HoldOut:
    """What is kept from training; of a training that is resumed, what was kept at first."""
    wanted = HoldOut(
        plan.parts.seed,
        plan.held_out,
        _least(plan),
        not isinstance(plan.parts, FrozenParts) and len(plan.detectors) > 1,
    )
    if output is None or isinstance(plan.parts, FrozenParts):
        return wanted
    training = {"images": plan.known.sha256, "group_by": plan.group_by}
    hold_out = resumed(wanted, training, output) if resume else wanted
    if _is_main():
        note_hold_out(hold_out, training, output)
    return hold_out


def _least(plan: Plan) -> int:
    """The fewest groups that can promise what was asked for."""
    parts = plan.parts
    return least_groups(parts.acceptance, parts.confidence, parts.max_error)


def _is_main() -> bool:
    return os.environ.get("RANK", "0") == "0"


def _keep(boundary: Boundary, plan: Plan, output: Path | None) -> None:
    """Note which pictures it was fitted on, and save it where there is a place.

    All processes wait for the one that saves: torchrun ends the others when one of them fails.
    """
    boundary.remember(
        fingerprints(plan.known),
        [digest for read in plan.shown for digest in fingerprints(read)],
    )
    try:
        if output:
            boundary.save(output)
            for kept in (*kept_state(output), output / NOTED):
                kept.unlink(missing_ok=True)
    finally:
        wait_for_processes()


def _measured(
    boundary: Boundary,
    scores: Tensor,
    nearest: Tensor,
    labels: NDArray[np.int64],
    groups: NDArray[np.int64],
    *,
    in_turn: bool = False,
) -> ClassAcceptance:
    """How many of the images that the threshold was set on are accepted, by class; noted for the
    card, with the share that gets its class.  in_turn: each was left out of a detector of its own,
    and the model learned from all."""
    accepted = boundary.threshold.acceptance_by_class(
        scores, nearest, torch.from_numpy(labels), groups
    )
    known = boundary.threshold.accepts(scores, nearest).cpu().numpy()
    right = nearest.cpu().numpy() == labels
    by_class = zip(boundary.class_names, accepted.groups, accepted.share, strict=True)
    boundary.about["measured"] = {
        "images": len(labels),
        "in_turn": in_turn,
        "accuracy": float(right.mean()),
        "accuracy_accepted": float(right[known].mean()) if known.any() else None,
        "accepted": float(known.mean()),
        "acceptance": boundary.acceptance,
        "by_class": {
            name: {"count": int(count), "accepted": float(share)}
            for name, count, share in by_class
            if count
        },
    }
    return accepted


def kept_state(output: Path) -> list[Path]:
    """The files of a training that was cut off, of its base and its main part.

    Args:
        output: the model's folder.

    Returns:
        Their paths; no path where it is finished or was never begun.
    """
    return sorted(output.glob(f"{Path(CHECKPOINT).stem}*.safetensors"))
