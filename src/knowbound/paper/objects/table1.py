"""Table 1 of the paper: every method on SVHN and on CIFAR-10, cell by cell into
``results/table1.jsonl``."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from knowbound.backbones import VGG13, Backbone
from knowbound.boundary.boundary import Boundary
from knowbound.boundary.model_file import DESCRIPTION
from knowbound.boundary.together import with_detectors
from knowbound.ccag import CIFAR10 as CCAG_CIFAR10
from knowbound.ccag import SVHN as CCAG_SVHN
from knowbound.ccag import CcagTraining
from knowbound.ccag.trainer import CcagTrainer
from knowbound.data.augmentation import Augmentation
from knowbound.data.outs.composed import composed_images
from knowbound.data.source import Source
from knowbound.data.split import OutSet, Split
from knowbound.detectors import Energy, MaxSoftmax, NearestCentre, Odin
from knowbound.detectors.choice import make_detector
from knowbound.detectors.detector import Detector
from knowbound.errors import UserError
from knowbound.evidence import Evidence
from knowbound.experiment import Experiment, Outcome, run
from knowbound.judging import judge_sets, seen_names
from knowbound.labels import Kind
from knowbound.metrics import measure
from knowbound.objectives import (
    ConfidenceLoss,
    Contrastive,
    CrossEntropy,
    EnergyMargin,
    OutlierExposure,
)
from knowbound.objectives.batches import (
    AuthorsBatches,
    BalancedBatches,
    RandomBatches,
    RandomBatchesWithOuts,
)
from knowbound.objectives.energy_margin import free_energy
from knowbound.paper.cells import OnStep, cell_name, cell_of, has_rows, run_missing
from knowbound.paper.objects.sheet import write_sheets
from knowbound.paper.objects.split import (
    CIFAR10,
    IN_DISTS,
    SVHN,
    Pictures,
    read_pictures,
    seen_validation,
    table1_split,
)
from knowbound.paper.shared_base import copy_of
from knowbound.report.drawing import check_can_draw
from knowbound.result import METRICS, Numbers, Result, read_rows
from knowbound.training.settings import Training
from knowbound.tuning import tune_odin

T = TypeVar("T")
CE_DETECTORS = {
    "odin": "ODIN",
    "energy": "Energy",
    "k_nearest": "k-nearest neighbours",
    "mahalanobis": "Mahalanobis",
    "relative_mahalanobis": "Relative Mahalanobis",
    "vim": "ViM",
    "openmax": "OpenMax",
    "null_space": "Kernel null Foley-Sammon",
    "extreme_value_signature": "Extreme value signatures",
}
"""What else judges the network of the max-softmax row, by the name of its row."""
ENERGY = "Energy fine-tuning"
AUTHORS, OURS = "authors' settings", "our settings"
MARGIN = 10.0
OUR_DROPOUT = {SVHN: 0.0, CIFAR10: 0.2}
"""Of ODM in our settings, by the mean AUROC of ``validation_split``; see docs/table1.md."""
COMPOSED_IMAGES = 10_000
FIT_IMAGES = 5_000  # of the training images, for the detectors on the cross-entropy network
TUNING_IMAGES = 500
Scores = NDArray[np.float64]


def _minus_probability(scores: Scores) -> Scores:
    """Minus log-probabilities -> minus softmax probabilities rounded to float32, ties and all."""
    return -np.exp(-scores).astype(np.float32).astype(np.float64)


def _squared(distances: Scores) -> Scores:
    return np.square(distances, dtype=np.float64)


STEPPED: Mapping[type[Detector], Callable[[Scores], Scores]] = {
    MaxSoftmax: _minus_probability,
    Odin: _minus_probability,
    NearestCentre: _squared,
}
"""The quantity in which the released programs step through a detector's scores: softmax
probabilities (Confident Classifier's program), squared distances to the nearest class centre (the
paper's, function ``basic_baseline``).  The scores of other detectors are taken as they are."""


@dataclass(frozen=True)
class Scale:
    """The network, its training, and the sizes of the batches: what differs between ``--scale
    quick``, ``cpu`` and ``paper``.

    train, test: at most so many images of each set; backbone: VGG-13's settings for ("ccag" or
    "paper") form; ce, images: for each in-distribution the training under cross-entropy and the
    images in a batch; outs_on_top: whether the confidence loss, outlier exposure and energy
    fine-tuning see as many outs beside those, or halve them to make room; odm, authors: trainings;
    fine_tuning: that of the energy loss, on the network of ``ce``.
    """

    name: str
    backbone_name: str
    backbone: Callable[..., Backbone]
    ce: Mapping[str, Training]
    odm: Training
    authors: Training
    fine_tuning: Training
    ccag: Mapping[str, CcagTraining]
    images: Mapping[str, int]
    outs_on_top: bool = False
    authors_images: int = 1024
    train: int | None = None
    test: int | None = None


def _short(steps: int) -> Training:
    return Training(
        steps=steps,
        learning_rate=2e-3,
        weight_decay=0.05,
        augmentation=Augmentation(shift=3),
        channels_last=True,
        compile=False,
    )


def _both(value: T) -> dict[str, T]:
    return dict.fromkeys(IN_DISTS, value)


def _quarter(steps: int, width: int) -> dict[str, CcagTraining]:
    """Lee et al.'s settings but for fewer steps of 64 images and narrower networks."""
    return {
        in_dist: replace(published, steps=steps, images=64, width=width, sheets=4)
        for in_dist, published in zip(IN_DISTS, (CCAG_SVHN, CCAG_CIFAR10), strict=True)
    }


QUICK = Scale(
    "quick",
    "VGG-13 (quarter width, batch norm)",
    partial(VGG13, widen=0.25, batch_norm=True),
    ce=_both(_short(300)),
    odm=_short(300),
    authors=_short(300),
    fine_tuning=replace(_short(60), learning_rate=2e-4),
    ccag=_quarter(120, 16),
    images=_both(64),
    authors_images=128,
    train=4_000,
    test=1_000,
)
CPU = Scale(
    "cpu",
    "VGG-13 (quarter width, batch norm)",
    partial(VGG13, widen=0.25, batch_norm=True),
    ce=_both(_short(4_000)),
    odm=_short(4_000),
    authors=_short(8_000),
    fine_tuning=replace(_short(800), learning_rate=2e-4),
    ccag=_quarter(2_000, 32),
    images=_both(128),
    authors_images=128,
)
PLAIN = Training(
    steps=57_233, learning_rate=2e-4, schedule="constant", drops=(0.6,), augmentation=Augmentation()
)
"""Of Lee et al. for SVHN: Adam, 100 epochs of 128 images, a tenth of the rate after 60, nothing
done to the images."""
PAPER = Scale(
    "paper",
    "VGG-13",
    VGG13,
    ce={SVHN: PLAIN, CIFAR10: replace(PLAIN, steps=78_125)},
    images={SVHN: 128, CIFAR10: 64},
    outs_on_top=True,
    odm=_short(20_000),
    fine_tuning=replace(PLAIN, steps=5_700, drops=()),
    authors=Training(
        steps=60_000,
        learning_rate=1e-4,
        schedule="constant",
        drops=(0.05, 0.75),
        l2=1e-4,
        augmentation=Augmentation(),
    ),
    ccag=dict(zip(IN_DISTS, (CCAG_SVHN, CCAG_CIFAR10), strict=True)),
)


def choose_scale(name: str) -> Scale:
    """The scale of a name.

    Args:
        name: ``quick``, ``cpu`` or ``paper``.

    Raises:
        UserError: another name.
    """
    scales = {scale.name: scale for scale in (QUICK, CPU, PAPER)}
    if name not in scales:
        raise UserError(f"the scale {name!r} was asked for; expected one of {', '.join(scales)}")
    return scales[name]


def ce_experiment(split: Split, scale: Scale, seed: int = 0) -> Experiment:
    """Cross-entropy, judged by the largest softmax probability: the network of most other rows.

    Args:
        split: of Table 1.
        scale: network and training.
        seed: of everything random.
    """
    in_dist = split.train.name
    objective = CrossEntropy(RandomBatches(images=scale.images[in_dist]))
    return Experiment(
        experiment="table1",
        scale=scale.name,
        method="Max softmax",
        split=split.without_seen_out(),
        backbone=partial(scale.backbone, variant="ccag"),
        backbone_name=scale.backbone_name,
        objective=objective,
        detector=MaxSoftmax,
        training=replace(scale.ce[in_dist], seed=seed),
        conventions=("exact",),
    )


def seen_out_experiments(split: Split, scale: Scale, seed: int = 0) -> tuple[Experiment, ...]:
    """The confidence loss and outlier exposure on seen-out images, as many of them as known ones in
    every batch.

    Args:
        split: of Table 1.
        scale: network and training.
        seed: of everything random.
    """
    ce, rule = replace(ce_experiment(split, scale, seed), split=split), _as_many_outs(scale, split)
    return (
        replace(
            ce,
            method="Confidence loss",
            objective=ConfidenceLoss(scale.ccag[split.train.name].beta, rule),
        ),
        replace(ce, method="Outlier exposure", objective=OutlierExposure(rule=rule)),
    )


def _as_many_outs(scale: Scale, split: Split) -> RandomBatchesWithOuts:
    images = scale.images[split.train.name] // (1 if scale.outs_on_top else 2)
    return RandomBatchesWithOuts(images=images, outs=images)


def odm_experiments(split: Split, scale: Scale, seed: int = 0) -> tuple[Experiment, ...]:
    """ODM as the authors ran it, and as we would: all pairs, the squared loss, and
    out-of-distribution images composed of the known ones.

    Args:
        split: of Table 1.
        scale: network and training.
        seed: of everything random.
    """
    authors = Experiment(
        experiment="table1",
        scale=scale.name,
        method="ODM",
        variant=AUTHORS,
        split=split,
        backbone=partial(scale.backbone, variant="paper"),
        backbone_name=scale.backbone_name,
        objective=Contrastive(
            margin=MARGIN,
            squared=False,
            rule=AuthorsBatches(scale.authors_images),
            pairs="partners",
            dim=10,
        ),
        detector=NearestCentre,
        training=replace(scale.authors, seed=seed),
        conventions=("exact",),
    )
    outs = composed_images(split.train, COMPOSED_IMAGES, np.random.default_rng([seed, 5]))
    quarter = scale.images[split.train.name] // 4
    ours = replace(
        authors,
        variant=OURS,
        split=replace(split, seen_out=(*split.seen_out, OutSet(outs, Kind.ANOMALY))),
        backbone=partial(scale.backbone, variant="paper", dropout=OUR_DROPOUT[split.train.name]),
        objective=Contrastive(
            margin=MARGIN, rule=BalancedBatches(images=3 * quarter, outs=quarter), dim=32
        ),
        training=replace(scale.odm, seed=seed),
    )
    return authors, ours


def ccag_experiment(split: Split, scale: Scale, sheets: Path, seed: int = 0) -> Experiment:
    """CC-AG: its own loop trains the network of the max-softmax row with a generator; no seen-out
    image is shown.

    Args:
        split: of Table 1.
        scale: network and training.
        sheets: where pictures of what the generator made go, as PNG.
        seed: of everything random.
    """
    settings = replace(scale.ccag[split.train.name], seed=seed)
    ce = ce_experiment(split, scale, seed)
    return replace(
        ce,
        method="CC-AG",
        trainer=CcagTrainer(settings, partial(write_sheets, sheets)),
        objective=CrossEntropy(RandomBatches(settings.images)),
        training=Training(
            steps=settings.steps,
            learning_rate=settings.learning_rate,
            schedule="constant",
            drops=(settings.drop_at,),
            augmentation=Augmentation(),
            seed=seed,
        ),
        note={"ccag": asdict(settings)},
    )


def energy_experiment(split: Split, scale: Scale, boundary: Boundary, seed: int = 0) -> Experiment:
    """Energy fine-tuning of the max-softmax row's network.

    The margins are in_margin = mean energy of known images - gap and out_margin = mean energy of
    seen-out images + gap, with gap = max(1, |difference|), all measured before fine-tuning.

    Args:
        split: of Table 1.
        scale: network and training.
        boundary: that row's, whose network is copied.
        seed: of everything random.
    """
    rng = np.random.default_rng([seed, 7])
    sources = (split.train, split.seen_out[0].source)
    inside, outside = (
        _mean_energy(boundary, source.sample(TUNING_IMAGES, rng)) for source in sources
    )
    spread = max(abs(outside - inside), 1.0)
    rule = _as_many_outs(scale, split)
    return replace(
        ce_experiment(split, scale, seed),
        method=ENERGY,
        split=split,
        backbone=partial(copy_of, boundary.backbone),
        objective=EnergyMargin(
            in_margin=round(inside - spread, 2), out_margin=round(outside + spread, 2), rule=rule
        ),
        detector=Energy,
        training=replace(scale.fine_tuning, seed=seed),
        note={
            "started_from": "the network of the max-softmax row",
            "mean_energy_before": {"in": inside, "seen out": outside},
        },
    )


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
    detectors = partial(_rows_of_detectors, tuning=seen_validation(pictures, in_dist))
    run_missing(ce, path, on_step, models=models, more_rows=detectors)
    more = [*odm_experiments(split, scale, seed), *seen_out_experiments(split, scale, seed)]
    for experiment in more:
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


def legacy_rows(experiment: Experiment, outcome: Outcome) -> list[Result]:
    """The rows of the convention ``ccag``, in which the paper printed this table, beside those of
    ``exact``."""
    return _in_legacy(outcome.evidence, outcome.boundary.detector)


def _rows_of_detectors(experiment: Experiment, outcome: Outcome, *, tuning: Source) -> list[Result]:
    """Max softmax in the legacy convention, and every other detector on the same network in
    both."""
    boundary, split = outcome.boundary, experiment.split
    inside = split.validation.sample(TUNING_IMAGES, np.random.default_rng(0))
    outside = tuning.sample(TUNING_IMAGES, np.random.default_rng(0))
    tuned = tune_odin(boundary.backbone, inside, [outside])
    odin = tuned.detector
    detectors = [
        odin if name == "odin" else make_detector(name, ("features", "logits"))
        for name in CE_DETECTORS
    ]
    learned = split.train.sample(FIT_IMAGES, np.random.default_rng(0))
    boundaries = with_detectors(boundary, detectors, learned, split.validation)
    runs = []
    for detector, method in zip(detectors, CE_DETECTORS.values(), strict=True):
        settings = {
            **outcome.run.provenance["settings"],
            "detector": dict(detector.settings),
            "fit_images": len(learned),
        }
        if detector is odin:
            settings["odin"] = {
                "chosen_against": tuning.name,
                "sha256": tuning.sha256(),
                "by": "smallest FPR95, then the largest AUROC",
            }
        runs.append(
            replace(
                outcome.run,
                method=method,
                detector=type(detector).__name__,
                provenance={**outcome.run.provenance, "settings": settings},
            )
        )
    seen = seen_names(split.seen_out, split.unseen_out)
    together = judge_sets(boundaries, runs, split.test, split.unseen_out, seen=seen)
    rows = _in_legacy(outcome.evidence, boundary.detector)
    for evidence, detector in zip(together, detectors, strict=True):
        rows += [*evidence.results, *_in_legacy(evidence, detector)]
    return rows


def _in_legacy(evidence: Evidence, detector: Detector) -> list[Result]:
    rows = []
    for out, row in zip(evidence.out_sets, evidence.results, strict=True):
        inside, outside = (
            as_stepped(detector, judged.judgement.score) for judged in (evidence.in_set, out)
        )
        metrics = measure(inside, outside, convention="ccag")
        rows.append(
            replace(
                row,
                convention="ccag",
                numbers=Numbers(**{name: getattr(metrics, name) for name in METRICS}),
                tie_share=metrics.tie_share,
            )
        )
    return rows


def as_stepped(detector: Detector, scores: Scores) -> Scores:
    """The scores in the quantity that the released program cuts into equal steps.

    Args:
        detector: that gave them.
        scores: (N,).

    Returns:
        (N,).
    """
    stepped = STEPPED.get(type(detector))
    return stepped(scores) if stepped else scores


def _train_again(ce: Experiment, folder: Path, on_step: OnStep | None) -> Boundary:
    """The max-softmax row's boundary where its rows are there but the model was not kept."""
    outcome = run(ce, on_step=partial(on_step, ce) if on_step else None)
    outcome.boundary.save(folder)
    return outcome.boundary


@torch.no_grad()
def _mean_energy(boundary: Boundary, source: Source) -> float:
    parts = [
        free_energy(boundary.outputs(images).get("logits")) for images in boundary.batches(source)
    ]
    return float(torch.cat(parts).mean())
