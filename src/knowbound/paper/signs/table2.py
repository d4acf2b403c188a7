"""Table 2 of the paper: ODIN, ML and ODM on traffic signs, cell by cell into
``results/table2.jsonl``.

ODM has three rows: with novelty (other signs), background patches, or Gaussian noise as seen out
images.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np

from knowbound.backbones import Backbone, WideResNet
from knowbound.boundary.model_file import DESCRIPTION
from knowbound.building import Chosen
from knowbound.data.outs.composed import composed_images
from knowbound.data.outs.noise import gaussian_noise
from knowbound.data.source import Source
from knowbound.data.split import OutSet, Split
from knowbound.detectors import MaxSoftmax, NearestCentre
from knowbound.experiment import Experiment, Outcome
from knowbound.judging import judge_sets, seen_names
from knowbound.labels import Kind
from knowbound.objectives import Contrastive, CrossEntropy
from knowbound.objectives.batches import RandomBatches
from knowbound.paper.cells import OnStep, cell_name, cell_of, has_rows, run_missing, write_table
from knowbound.paper.odin_tuning import OdinTuning, tune_odin
from knowbound.paper.own_rows import (
    SYNTHETIC,
    TWO_HEADS,
    by_three_networks,
    rows_of_blocks,
    synthetic_rows,
    with_two_heads,
)
from knowbound.paper.shared_base import start_from_base
from knowbound.paper.signs.accepted import write_accepted
from knowbound.paper.signs.class_splits import ClassSplit, class_split
from knowbound.paper.signs.scale import CPU, Scale, about_scales
from knowbound.paper.signs.split import (
    BACKGROUND,
    NOISE,
    NOVELTY,
    TsinghuaImages,
    read_tsinghua,
    tsinghua_split,
)
from knowbound.result import Result, read_rows
from knowbound.training.settings import Training
from knowbound.values import JsonObject

IN_DIST = "Tsinghua"
SEEN = {"novelty seen": NOVELTY, "background seen": BACKGROUND, "noise seen": NOISE}
"""Each row of ODM with the kind it sees."""
COMPOSED = "novelty and composed seen"
"""A row of our own: beside other signs it sees images composed of the known ones
(``data/outs/composed.py``)."""
SEEN_SYNTHETIC = "novelty seen and synthetic outliers"
COMPOSED_IMAGES = 6_000
PER_OUT_SET = "per out set"
DIM, MARGIN = 32, 10.0  # Section 4.2; its margin is that of Table 1
TUNING_IMAGES = (
    500  # of each set, half of what ODIN's authors took: the grid costs 33 forward passes an image
)


def tsinghua_experiments(
    images: TsinghuaImages,
    classes: ClassSplit,
    scale: Scale,
    seed: int = 0,
    *,
    experiment: str = "table2",
) -> tuple[Experiment, ...]:
    """ODIN, ML, and ODM with novelty, background and noise seen, on one split of the classes and
    one budget of steps.

    Last rows of our own: ODM that also sees images composed of the known ones, and ODM with the
    synthetic outliers of ``fit``, alone and beside the seen novelty.

    Args:
        images: of all sets.
        classes: which class plays which role.
        scale: networks and trainings.
        seed: of everything random.
        experiment: name of the table.
    """
    odms = [_odm(images, classes, scale, seed, experiment, variant) for variant in SEEN]
    odms.append(_with_composed(odms[0]))
    odms += synthetic_rows(
        odms[0],
        based=scale.base is not None,
        images=scale.synthetic,
        seen_variant=SEEN_SYNTHETIC,
    )
    ml = replace(odms[0], method="ML", variant="", split=odms[0].split.without_seen_out())
    validation_outs = odin_validation_outs(images, classes, seed)
    odin = replace(
        ml,
        method="ODIN",
        objective=CrossEntropy(RandomBatches(scale.batches.images + scale.batches.outs)),
        detector=MaxSoftmax,
        backbone=partial(WideResNet, depth=scale.depth, widen=scale.widen),
        tune=partial(_tune, outs=validation_outs),
    )
    return odin, ml, *odms


def and_two_heads(experiments: Sequence[Experiment]) -> tuple[Experiment, ...]:
    """The rows of a split, and two of them with two heads: novelty seen, and synthetic outliers.

    Args:
        experiments: of ``tsinghua_experiments``.
    """
    chosen = [e for e in experiments if e.variant in (next(iter(SEEN)), SYNTHETIC)]
    return (*experiments, *map(with_two_heads, chosen))


def and_three_networks(
    experiments: Sequence[Experiment], base: Training | None
) -> tuple[Experiment, ...]:
    """The rows of a split, and that with synthetic outliers alone by three networks that judge
    together, each from a base of its own: as ``fit --networks 3`` does.

    Args:
        experiments: of ``tsinghua_experiments``.
        base: as in ``Scale``; None, as at the paper's size, adds none: it would take three times as
            long.
    """
    if base is None:
        return tuple(experiments)
    chosen = (e for e in experiments if (e.method, e.variant) == ("ODM", SYNTHETIC))
    return (*experiments, *(by_three_networks(row, base) for row in chosen))


def odin_validation_outs(
    images: TsinghuaImages, classes: ClassSplit, seed: int
) -> tuple[Source, ...]:
    """What ODIN's values are chosen against: seen classes, background and noise, all of training
    data or drawn again.

    500 images of each where there are as many, none of a test set or an unseen class.  The network
    has seen none of them: it is trained on in-distribution classes only.

    Args:
        images: of all sets.
        classes: which class plays which role.
        seed: of the draws.
    """
    rng = np.random.default_rng([seed, 4])
    sources = (
        images.train.signs.source.take_classes(classes.seen).without_labels(NOVELTY),
        images.train.background.source.without_labels(BACKGROUND),
        gaussian_noise(TUNING_IMAGES, images.train.signs.source.image_shape, rng).without_labels(
            NOISE
        ),
    )
    return tuple(source.sample(TUNING_IMAGES, rng) for source in sources)


def reproduce(
    data: Path,
    results: Path,
    *,
    scale: Scale = CPU,
    seeds: Sequence[int] = (0,),
    keep_models: bool = False,
    on_step: OnStep | None = None,
) -> list[Result]:
    """All rows of Table 2.  Cells already in ``results/table2.jsonl`` are kept; a cell that was cut
    off continues.

    Args:
        data: the folder that holds tt100k/ and background/.
        results: where the rows go.
        scale: of the networks and their training.
        seeds: of everything random, one block of rows each.
        keep_models: keep every trained boundary in ``results/models``, from which Figure 3 is then
            drawn and ``table2_classes.md`` written: which unseen classes each takes for known ones.
        on_step: called after every step.

    Raises:
        UserError: files are missing.
    """
    images, classes = read_tsinghua(data, scale.size), class_split(restricted=True)
    return reproduce_on(
        images,
        classes,
        results,
        scale=scale,
        seeds=seeds,
        keep_models=keep_models,
        on_step=on_step,
    )


def reproduce_on(
    images: TsinghuaImages,
    classes: ClassSplit,
    results: Path,
    *,
    scale: Scale = CPU,
    seeds: Sequence[int] = (0,),
    keep_models: bool = False,
    on_step: OnStep | None = None,
) -> list[Result]:
    """As ``reproduce``, on images that were read and classes that were split."""
    for seed in seeds:
        rows = and_two_heads(tsinghua_experiments(images, classes, scale, seed))
        experiments = and_three_networks(rows, scale.base)
        run_experiments(
            experiments, results, base=scale.base, keep_models=keep_models, on_step=on_step
        )
    kept = [results / "models" / cell_name(experiment) for experiment in experiments]
    present = [model for model in kept if (model / DESCRIPTION).exists()]
    if present:
        write_accepted(images, classes, present, results / "table2_classes.md")
    return list(read_rows(results / "table2.jsonl"))


def run_experiments(
    experiments: Sequence[Experiment],
    results: Path,
    *,
    base: Training | None = None,
    keep_models: bool = False,
    on_step: OnStep | None = None,
) -> None:
    """Run those whose rows are not there yet; ODIN's network gives the rows of both its tunings.

    Args:
        experiments: of one split.
        results: the folder of ``<table>.jsonl``.
        base: as in ``Scale``.
        keep_models: whether to keep every trained boundary in ``results/models``.
        on_step: called after every step.
    """
    missing = [
        e for e in experiments if not has_rows(results / f"{e.experiment}.jsonl", *cell_of(e))
    ]
    more_rows = {"ODIN": rows_per_out_set, TWO_HEADS: None}
    for experiment in with_base(missing, base, results, on_step) if base else missing:
        run_missing(
            experiment,
            results / f"{experiment.experiment}.jsonl",
            on_step,
            models=results / "models" if keep_models else None,
            more_rows=more_rows.get(experiment.method, rows_of_blocks),
        )


def with_base(
    experiments: Sequence[Experiment], base: Training, results: Path, on_step: OnStep | None = None
) -> list[Experiment]:
    """The experiments of one split: ML and ODM start from one base, two heads from another, three
    networks from bases of their own, and ODIN gets the steps of both in one training.

    Args:
        experiments: of one split.
        base: the training of the base.
        results: in whose ``.running`` the base is kept.
        on_step: called after every step of the base.
    """
    based: list[Experiment] = []
    with_own_base: list[Experiment] = []
    groups: dict[tuple[str, ...], list[Experiment]] = {}
    for experiment in experiments:
        if experiment.method == "ODIN":
            whole = replace(
                base,
                steps=base.steps + experiment.training.steps,
                seed=experiment.training.seed,
            )
            based.append(replace(experiment, training=whole))
        elif experiment.base and experiment.base.training:
            with_own_base.append(experiment)
        else:
            groups.setdefault(experiment.objective.heads, []).append(experiment)
    for same_heads in groups.values():
        alone = same_heads[0].objective.without_outs()
        seeded = replace(base, seed=same_heads[0].training.seed)
        based += start_from_base(same_heads, alone, seeded, results / ".running", on_step)
    return based + with_own_base


def rows_per_out_set(experiment: Experiment, outcome: Outcome) -> list[Result]:
    """ODIN the way it was published: its values chosen again for every out set, on validation
    images of the same kind.

    Args:
        experiment: of ODIN.
        outcome: of its run.
    """
    tuning: OdinTuning = outcome.tuning
    settings = outcome.run.provenance["settings"]
    split = experiment.split
    seen = seen_names(split.seen_out, split.unseen_out)
    rows: list[Result] = []
    for out in split.unseen_out:
        own = tuning.for_out_source(out.name)
        noted = {**settings, "odin": _note(own, settings["odin"]["images"])}
        provenance = {**outcome.run.provenance, "settings": noted}
        run = replace(outcome.run, variant=PER_OUT_SET, provenance=provenance)
        if own.detector.settings == tuning.detector.settings:  # then its rows are there
            mine = (row for row in outcome.evidence.results if row.out_dist == out.name)
            rows += [replace(row, run=run) for row in mine]
            continue
        # ODIN learns nothing from the training images: all but the threshold is kept
        boundary = deepcopy(outcome.boundary)
        boundary.detector = own.detector
        boundary.calibrate(split.validation)
        (evidence,) = judge_sets(
            [boundary],
            [run],
            split.test,
            [out],
            seen=seen,
            conventions=experiment.conventions,
        )
        rows += evidence.results
    return rows


def write_table2(results: Path) -> Path:
    """``results/table2.md`` from ``results/table2.jsonl`` and nothing else: our numbers beside the
    paper's."""
    return write_table(
        results, "table2", "Table 2: traffic signs, restricted split", INTRO, AUPR_NOTE
    )


ABOUT_ODIN = (
    "ODIN (per out set) has its temperature and step chosen for each out set on validation images "
    "of the very same kind, as it was published; ODIN has one pair of values for all out sets. "
    "Both were chosen on training data that their network was not trained on (seen classes, "
    "background, noise) and on none of a test set.\n"
)
INTRO = (
    "Generated from `table2.jsonl` by `knowbound reproduce table2`. The split of the classes is "
    "ours (`paper/signs/class_splits.json`): the paper's was not released, so the paper's numbers "
    "are of another split. Rows with composed images, with synthetic outliers, with every block, "
    "with two heads or of three networks are ours too: every block scores the same networks by all "
    "their activations, two heads take the class from a head of its own ([two "
    "heads](two_heads.md)); they start from a base with both heads. Three networks judge together, "
    "each trained in the same steps as the one of the other rows, from a base of its own.\n\n"
    f"{about_scales(CPU)} {ABOUT_ODIN}"
)
AUPR_NOTE = (
    "AUPR depends on the sizes of the sets, which the paper does not print; ours are in the "
    "table, so the AUPR columns are not comparable."
)


def _odm(
    images: TsinghuaImages,
    classes: ClassSplit,
    scale: Scale,
    seed: int,
    experiment: str,
    variant: str,
) -> Experiment:
    split = tsinghua_split(images, classes, (SEEN[variant],), seed)
    return Experiment(
        experiment=experiment,
        scale=scale.name,
        method="ODM",
        variant=variant,
        split=replace(split, train=replace(split.train, name=IN_DIST)),
        backbone=partial(WideResNet, depth=scale.depth, widen=scale.widen, gain=scale.gain),
        backbone_name=scale.backbone_name,
        objective=Contrastive(
            margin=MARGIN, dim=DIM, rule=scale.batches, same_share=scale.same_share
        ),
        detector=NearestCentre,
        training=replace(scale.training, seed=seed),
    )


def _with_composed(odm: Experiment) -> Experiment:
    """ODM that also sees images composed of its own training images."""
    outs = composed_images(
        odm.split.train, COMPOSED_IMAGES, np.random.default_rng([odm.training.seed, 5])
    )
    seen = (*odm.split.seen_out, OutSet(outs, Kind.NOVELTY))
    return replace(odm, variant=COMPOSED, split=replace(odm.split, seen_out=seen))


def _tune(backbone: Backbone, split: Split, *, outs: Sequence[Source]) -> Chosen:
    inside = split.validation.sample(TUNING_IMAGES, np.random.default_rng(0))
    tuning = tune_odin(backbone, inside, outs)
    images = {"in": len(inside), **{source.name: len(source) for source in outs}}
    return Chosen(tuning.detector, tuning, {"odin": _note(tuning, images)})


def _note(tuning: OdinTuning, images: Mapping[str, int]) -> JsonObject:
    """What a row says of its tuning: enough to see and to repeat the choice."""
    return {
        "temperature": tuning.chosen.temperature,
        "epsilon": tuning.chosen.epsilon,
        "chosen_by": "smallest mean FPR95 over the out sets of the grid, then the largest mean "
        "AUROC",
        "images": dict(images),
        "grid": [asdict(tried) for tried in tuning.grid],
    }
