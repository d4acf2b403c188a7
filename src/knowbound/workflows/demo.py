"""A first look in a minute: CE, ML and ODM on scikit-learn's handwritten digits, which need no
download."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from knowbound.backbones import LeNet
from knowbound.data.augmentation import Augmentation
from knowbound.data.outs.noise import gaussian_noise
from knowbound.data.outs.patches import photograph_patches, sample_photographs
from knowbound.data.preprocessing import Preprocessing
from knowbound.data.sets.digits import read_digits
from knowbound.data.source import Source
from knowbound.data.split import OutSet, Split
from knowbound.detectors import MaxSoftmax, NearestCentre
from knowbound.evidence import Evidence
from knowbound.experiment import Experiment, run
from knowbound.files import check_writable, replace_file
from knowbound.labels import Kind
from knowbound.objectives import Contrastive, CrossEntropy
from knowbound.objectives.batches import BalancedBatches, RandomBatches
from knowbound.report import write_page
from knowbound.training.loop import Progress
from knowbound.training.settings import Training

SHAPE = Preprocessing(height=16, width=16, channels=1)
IN_CLASSES, SEEN_CLASSES, UNSEEN_CLASSES = ("2", "6", "7"), ("0", "3", "4", "8"), ("5", "9", "1")
ANOMALIES = 1000
STEPS = 400
"""Of each training: a few seconds on two cores."""
INTRO = (
    "Three small networks learned the handwritten digits 2, 6 and 7: one with cross-entropy (CE), "
    "one with metric learning (ML) and one with metric learning that was also shown 0, 3, 4 and 8 "
    "as images to stay away from (ODM). No network was trained on 5, 9, 1 (novelties), noise or "
    "pieces of photographs (anomalies). The score that tells an anomaly from a novelty learned "
    "from other noise, and from other pieces of the same two photographs."
)


def digits_split(seed: int = 0) -> Split:
    """2, 6, 7 in (60% train, 20% held out, 20% test); 0, 3, 4, 8 seen out; 5, 9, 1, noise and
    photograph patches unseen.

    Args:
        seed: of the division and of the anomalies.
    """
    digits = SHAPE.apply(read_digits())
    rng = np.random.default_rng(seed)
    inside = digits.take_classes(IN_CLASSES, "digits 2, 6, 7")
    order = rng.permutation(len(inside))
    train, held, test = np.split(order, [int(0.6 * len(order)), int(0.8 * len(order))])
    patches = photograph_patches(sample_photographs(), ANOMALIES, SHAPE.height, rng)
    unseen: tuple[tuple[Source, Kind], ...] = (
        (digits.take_classes(UNSEEN_CLASSES, "Novelty").without_labels(), Kind.NOVELTY),
        (gaussian_noise(ANOMALIES, (1, SHAPE.height, SHAPE.width), rng), Kind.ANOMALY),
        (SHAPE.apply(patches).without_labels("Photograph patches"), Kind.ANOMALY),
    )
    return Split(
        "2, 6, 7 of the digits",
        train=inside.take(np.sort(train)),
        validation=inside.take(np.sort(held)),
        test=inside.take(np.sort(test)),
        seen_out=(
            OutSet(
                digits.take_classes(SEEN_CLASSES, "digits 0, 3, 4, 8").without_labels(),
                Kind.NOVELTY,
            ),
        ),
        unseen_out=tuple(OutSet(source, kind) for source, kind in unseen),
    )


def demo_experiments(split: Split, seed: int = 0, steps: int = STEPS) -> tuple[Experiment, ...]:
    """CE, ML and ODM with the settings of the paper's MNIST experiment on smaller batches and fewer
    steps.

    Args:
        split: of the digits.
        seed: of the trainings.
        steps: of each training.
    """
    odm = Experiment(
        experiment="demo",
        scale="quick",
        method="ODM",
        split=split,
        backbone=partial(LeNet, channels=1, height=SHAPE.height, width=SHAPE.width),
        backbone_name="LeNet",
        objective=Contrastive(margin=10.0, dim=5, rule=BalancedBatches(images=64, outs=32)),
        detector=NearestCentre,
        training=Training(steps=steps, augmentation=Augmentation(shift=1), seed=seed),
        conventions=("exact",),
    )
    ml = replace(odm, method="ML", split=split.without_seen_out())
    ce = replace(
        ml, method="CE", objective=CrossEntropy(RandomBatches(images=64)), detector=MaxSoftmax
    )
    return ce, ml, odm


def run_demo(
    output: Path,
    *,
    seed: int = 0,
    steps: int = STEPS,
    on_step: Callable[[str, Progress], None] | None = None,
) -> list[Evidence]:
    """Train and judge all three, save each model under ``output``, and write ``rows.jsonl`` and
    ``report.html`` there.

    Args:
        output: folder, made where it is missing.
        seed: of everything random.
        steps: of each training.
        on_step: called with the method's name and the progress.

    Returns:
        The evidence of CE, ML and ODM.

    Raises:
        UserError: ``output`` cannot be written.
    """
    check_writable(output)
    evidence = []
    for experiment in demo_experiments(digits_split(seed), seed, steps):
        outcome = run(experiment, on_step=partial(on_step, experiment.method) if on_step else None)
        outcome.boundary.save(output / experiment.method.lower())
        evidence.append(outcome.evidence)
    rows = [row for one in evidence for row in one.results]
    replace_file(output / "rows.jsonl", "".join(row.to_json() + "\n" for row in rows).encode())
    write_page(
        output / "report.html",
        "Known, novelty or anomaly: handwritten digits",
        evidence,
        intro=INTRO,
        folders=[str(output / one.method.lower()) for one in evidence],
        in_words=len(evidence) - 1,
    )
    return evidence
