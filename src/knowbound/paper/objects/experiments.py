"""The trainings behind Table 1's rows as values: cross-entropy, seen-out losses, ODM, CC-AG, energy
fine-tuning."""

from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from knowbound.boundary.boundary import Boundary
from knowbound.ccag.trainer import CcagTrainer
from knowbound.data.augmentation import Augmentation
from knowbound.data.outs.composed import composed_images
from knowbound.data.source import Source
from knowbound.data.split import OutSet, Split
from knowbound.detectors import Energy, MaxSoftmax, NearestCentre
from knowbound.experiment import Experiment
from knowbound.labels import Kind
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
from knowbound.paper.objects.scale import Scale
from knowbound.paper.objects.sheet import write_sheets
from knowbound.paper.objects.split import CIFAR10, SVHN
from knowbound.paper.own_rows import synthetic_rows, with_two_heads
from knowbound.paper.shared_base import copy_of
from knowbound.training.settings import Training

ENERGY = "Energy fine-tuning"
AUTHORS, OURS = "authors' settings", "our settings"
MARGIN = 10.0
OUR_DROPOUT = {SVHN: 0.0, CIFAR10: 0.2}
"""Of ODM in our settings, by the mean AUROC of ``validation_split``; see docs/table1.md."""
COMPOSED_IMAGES = 10_000
MARGIN_IMAGES = 500
"""Of each kind, on which the energies before fine-tuning are measured."""


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
    out-of-distribution images composed of the known ones.  Last, as we would with the synthetic
    outliers of ``fit``, alone and beside the seen out-of-distribution images.  Two of ours once
    more with two heads.

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
    plain = replace(ours, split=split)
    synthetic = synthetic_rows(plain, images=scale.synthetic)
    return authors, ours, *synthetic, *map(with_two_heads, (ours, synthetic[0]))


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
        mean_energy(boundary, source.sample(MARGIN_IMAGES, rng)) for source in sources
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


@torch.no_grad()
def mean_energy(boundary: Boundary, source: Source) -> float:
    """The mean free energy of a source's images, E = -logsumexp of the logits."""
    parts = [
        free_energy(boundary.outputs(images).get("logits")) for images in boundary.batches(source)
    ]
    return float(torch.cat(parts).mean())
