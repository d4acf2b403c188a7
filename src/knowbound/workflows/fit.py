"""From a folder of labelled images to a boundary, in one call: what a practitioner uses."""

import os
from collections.abc import Callable, Sequence
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
from knowbound.boundary.domain import Domain
from knowbound.boundary.selective_risk import ErrorNotKept
from knowbound.boundary.threshold import ClassAcceptance
from knowbound.building import build
from knowbound.building.frozen import Embedded, FrozenParts, build_frozen
from knowbound.building.tuned import Tuned
from knowbound.data.pictures.copies import fingerprints
from knowbound.data.source import Source
from knowbound.data.split import OutSet
from knowbound.errors import UserError
from knowbound.files import check_writable
from knowbound.files.lock import locked
from knowbound.labels import Kind
from knowbound.model_folder.description import CHECKPOINT
from knowbound.objectives import Objective
from knowbound.training import Trained
from knowbound.training.loop import Progress
from knowbound.training.pace import Precision
from knowbound.training.processes import wait_for_processes
from knowbound.workflows.detector_choice import describe_choice
from knowbound.workflows.hold_out import NOTED, HoldOut, check_enough, note_hold_out, resumed
from knowbound.workflows.plan import Folders, Plan, plan_fit
from knowbound.workflows.settings import Settings

NAMED = 8
"""Classes that a sentence names at most."""


@dataclass(frozen=True, eq=False)
class Fitted:
    """A calibrated boundary, the training or the embedding behind it, and the images it was held
    against."""

    boundary: Boundary
    trained: Trained | Embedded
    train: Source
    held_out: Source
    accepted: ClassAcceptance
    """How many held-out images of each class are accepted."""
    tuned: Tuned | None = None
    """The fine-tuning of a network with published weights, if there was one."""

    @property
    def summary(self) -> tuple[str, ...]:
        """What came of it, a sentence each."""
        names = self.boundary.class_names
        promise = self.boundary.threshold.sentence(names)
        return (
            *self._how(),
            *self._kinds(),
            f"The promise: {promise}.",
            *self._by_class(names),
        )

    def _how(self) -> tuple[str, ...]:
        made = self.trained
        if isinstance(made, Trained):
            choice = describe_choice(self.boundary.about["settings"])
            return (
                f"Trained in {made.seconds:.0f} s ({made.pace}).",
                *((choice,) if choice else ()),
            )
        few = (
            (
                "Few pictures: the threshold comes from leaving them out in turn, so that all are "
                "learned from; the promise is a guide then (--held-out 0.1 makes it exact, and wide).",
            )
            if not len(self.held_out)
            else ()
        )
        return (
            f"{self._trained()} Features computed of {made.computed:,} pictures, anomalies made "
            f"for the purpose among them, in {made.seconds:.0f} s; the others were kept.",
            *made.remarks,
            *few,
        )

    def _kinds(self) -> tuple[str, ...]:
        """What could not be done for telling novelty from anomaly, a sentence."""
        domain = self.boundary.domain
        remark = domain.remark if isinstance(domain, Domain) else ""
        return (f"Novelty or anomaly: {remark}.",) if remark else ()

    def _trained(self) -> str:
        """What was done to a network with published weights, a sentence."""
        if self.tuned is None:
            return "Nothing was trained."
        steps, before = self.tuned.tuning.steps, " before" if self.tuned.remembered else ""
        without = [n for n in self.boundary.class_names if n not in self.tuned.mirrored]
        kept = f"; never mirrored, as a mirror changes the class: {', '.join(without[:NAMED])}"
        return (
            f"Fine-tuned{before} in {self.tuned.seconds:.0f} s ({steps} steps"
            f"{kept if without else ''})."
        )

    def _by_class(self, names: Sequence[str]) -> list[str]:
        """The acceptance of each class on the held-out images, and a warning where it is low."""
        share, short = self.accepted.share, self.accepted.short
        order = np.argsort(np.nan_to_num(share, nan=-1.0), kind="stable").tolist()
        worst = [f"{names[c]} {share[c]:.0%} of {self.accepted.groups[c]}" for c in order[:NAMED]]
        more = f" (the lowest of {len(names)} classes)" if len(names) > NAMED else ""
        lines = [f"Held-out images accepted by class: {', '.join(worst)}{more}."]
        few = [names[c] for c in np.flatnonzero(short).tolist()]
        if few:
            lines.append(
                f"Warning: images of {', '.join(few[:NAMED])} are accepted too seldom; give more "
                "images of them, or set a threshold for each class with --per-class."
            )
        return lines


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
    check_writable(output)
    with locked(output):
        return _run(plan, output, resume, on_step)


def _run(
    plan: Plan, output: Path | None, resume: bool, on_step: Callable[[Progress], None] | None
) -> Fitted:
    known, groups, parts = plan.known.source, plan.groups.ids, plan.parts
    hold_out = _hold_out(plan, output, resume)
    held_out, chosen_by = hold_out.draw(known, groups)
    kept = np.union1d(held_out, chosen_by)
    if hold_out.share:
        check_enough(groups[held_out], _least(plan))
    shown = {f"outliers {i + 1}": read.sha256 for i, read in enumerate(plan.shown)}
    hashes = {"known": plan.known.sha256, **shown}
    note = {
        "held_out": plan.held_out,
        "hold_out": hold_out.to_dict(),
        "group_by": plan.group_by,
        "groups": plan.groups.rule,
        "images": len(known) - len(kept),
        "outliers": [len(read.source) for read in plan.shown],
        **({"audition": plan.audition.to_dict()} if plan.audition.trials else {}),
    }
    held = known.take(held_out)
    learned = known.take(np.setdiff1d(np.arange(len(known)), kept))
    declared = [
        *(OutSet(read.source, Kind.NOVELTY) for read in plan.novelties),
        *(OutSet(read.source, Kind.ANOMALY) for read in plan.anomalies),
    ]
    if isinstance(parts, FrozenParts):
        frozen = build_frozen(
            parts,
            known,
            [bytes.fromhex(digest) for digest in plan.known.pixel_sha256],
            held_out,
            declared,
            groups=groups,
            data_sha256=hashes,
            note=note,
            on_step=on_step,
        )
        at = frozen.positions
        accepted = _measured(
            frozen.boundary,
            frozen.scores,
            frozen.nearest,
            known.labels[at],
            groups[at],
            in_turn=not len(held_out),
        )
        _keep(frozen.boundary, plan, output if _is_main() else None)
        return Fitted(frozen.boundary, frozen.embedded, learned, held, accepted, frozen.tuned)
    try:
        built = build(
            parts,
            learned,
            held,
            [*(read.source for read in plan.outliers), *declared],
            held_groups=groups[held_out],
            choosing=known.take(chosen_by) if len(chosen_by) else None,
            data_sha256=hashes,
            identity={
                "held_out": plan.held_out,
                "group_by": plan.group_by,
                "held_out_images": sha256(kept.tobytes()).hexdigest(),
            },
            note=note,
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
    judged = built.boundary.judge(held)
    accepted = _measured(
        built.boundary,
        torch.from_numpy(judged.score),
        torch.from_numpy(judged.nearest),
        held.labels,
        groups[held_out],
    )
    _keep(built.boundary, plan, output if built.trained.is_main_process else None)
    return Fitted(built.boundary, built.trained, learned, held, accepted)


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
