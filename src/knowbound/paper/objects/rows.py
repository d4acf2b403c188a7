"""Table 1's rows from a trained network: other detectors on it, and the convention in which the
paper printed them."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from knowbound.boundary.together import with_detectors
from knowbound.data.source import Source
from knowbound.detectors import MaxSoftmax, NearestCentre, Odin
from knowbound.detectors.choice import make_detector
from knowbound.detectors.detector import Detector
from knowbound.evidence import Evidence
from knowbound.experiment import Experiment, Outcome
from knowbound.judging import judge_sets, seen_names
from knowbound.metrics import measure
from knowbound.paper.odin_tuning import tune_odin
from knowbound.paper.own_rows import judged_by_blocks
from knowbound.result import METRICS, Numbers, Result

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


def legacy_rows(experiment: Experiment, outcome: Outcome) -> list[Result]:
    """The rows of the convention ``ccag``, in which the paper printed this table, beside those of
    ``exact``."""
    return _in_legacy(outcome.evidence, outcome.boundary.detector)


def odm_rows(experiment: Experiment, outcome: Outcome) -> list[Result]:
    """``legacy_rows``, and the rows of every block as the score, in both conventions."""
    rows = legacy_rows(experiment, outcome)
    for evidence, detector in judged_by_blocks(experiment, outcome):
        rows += [*evidence.results, *_in_legacy(evidence, detector)]
    return rows


def rows_of_detectors(experiment: Experiment, outcome: Outcome, *, tuning: Source) -> list[Result]:
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
