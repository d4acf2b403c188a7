"""Tables 2 and 4 and Figure 3 end to end on a handful of toy signs: every row, resumable, beside
the paper's cells."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from knowbound.backbones import Ensemble
from knowbound.boundary.boundary import Boundary
from knowbound.data.augmentation import Augmentation
from knowbound.data.signs.crops import Crops
from knowbound.data.signs.tsinghua import TsinghuaCrops
from knowbound.data.source import Source
from knowbound.data.split import OutSet
from knowbound.detectors import Odin, StageMahalanobis
from knowbound.errors import UserError
from knowbound.experiment import Experiment, run
from knowbound.judging import seen_names
from knowbound.labels import OUT
from knowbound.metrics import measure
from knowbound.objectives.batches import BalancedBatches
from knowbound.paper.cells import cell_name, write_table
from knowbound.paper.own_rows import (
    SYNTHETIC,
    TOGETHER,
    TWO_HEADS,
    by_three_networks,
    synthetic_rows,
)
from knowbound.paper.published import published
from knowbound.paper.signs import figure3, table2, table4
from knowbound.paper.signs import scale as tsinghua_scale
from knowbound.paper.signs.class_splits import ClassSplit
from knowbound.paper.signs.scale import SHORT_CPU, Scale, about_scales, choose_scale
from knowbound.paper.signs.split import BACKGROUND, NOISE, NOVELTY, TsinghuaImages
from knowbound.paper.signs.table2 import (
    COMPOSED,
    PER_OUT_SET,
    SEEN,
    SEEN_SYNTHETIC,
    and_three_networks,
    and_two_heads,
    odin_validation_outs,
    run_experiments,
    tsinghua_experiments,
)
from knowbound.result import Result, read_rows
from knowbound.training.loop import Progress
from knowbound.training.settings import Training

NAMES = ("in0", "in1", "in2", "seen0", "seen1", "unseen0")
CLASSES = ClassSplit(
    "restricted", NAMES[:3], NAMES[3:5], NAMES[5:], tuple((name,) for name in NAMES)
)
OURS = (COMPOSED, SYNTHETIC, SEEN_SYNTHETIC)
TWO = ((TWO_HEADS, "novelty seen"), (TWO_HEADS, SYNTHETIC))
BATCHES = BalancedBatches(images=96, outs=32)
TINY = Scale(
    "cpu",
    10,
    1,
    Training(steps=3, learning_rate=1e-3, augmentation=Augmentation(shift=1), precision="float32"),
    BATCHES,
    synthetic=60,
)


def crops(labels: np.ndarray, names: tuple[str, ...], what: str, seed: int) -> Crops:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 80, (len(labels), 3, 8, 8)).astype(np.uint8)
    for image, label in zip(pixels, labels, strict=True):
        image[label % 3, 2 + label // 3 : 5 + label // 3, 2:6] += 120
    frames = np.array([f"{what} {i}" for i in range(len(labels))])
    return Crops(
        Source(what, pixels, labels.astype(np.int64), names),
        frames,
        np.full((len(labels), 2), 8, dtype=np.int64),
    )


def three(row: Result) -> bool:
    return TOGETHER in row.run.variant


def unlabelled(count: int, what: str, seed: int) -> Crops:
    return crops(np.full(count, OUT), (), what, seed)


@pytest.fixture(scope="module")
def images() -> TsinghuaImages:
    return TsinghuaImages(
        train=TsinghuaCrops(
            crops(np.arange(480) % 6, NAMES, "train", 1), unlabelled(12, "patches", 2)
        ),
        test=TsinghuaCrops(
            crops(np.arange(60) % 6, NAMES, "test", 3), unlabelled(8, "test patches", 4)
        ),
        roads=unlabelled(10, "roads", 5),
        dropped=0,
        problems=(),
    )


@pytest.fixture(scope="module")
def experiments(images: TsinghuaImages) -> tuple[Experiment, ...]:
    return tsinghua_experiments(images, CLASSES, TINY)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory, experiments: Sequence[Experiment]) -> Path:
    folder = tmp_path_factory.mktemp("results")
    run_experiments(and_two_heads(experiments), folder, keep_models=True)
    return folder


@pytest.fixture(scope="module")
def rows(results: Path) -> list[Result]:
    return list(read_rows(results / "table2.jsonl"))


@pytest.mark.parametrize("table", ["table2", "table4"])
def test_every_cell_of_the_paper_has_its_rows(table: str, rows: list[Result]) -> None:
    for cell in published(table):
        ours = [row for row in rows if cell.matches(row)]
        assert sorted(row.convention for row in ours) == ["exact", "seed"], cell
        assert all((row.kind, row.seen) == (cell.kind, cell.seen) for row in ours), cell
    more = [row for row in rows if not any(cell.matches(row) for cell in published(table))]
    metric = [("ML", ""), *(("ODM", variant) for variant in (*SEEN, *OURS))]
    blocks = [
        (f"{method}, {words}", variant)
        for method, variant in metric
        for words in ("every block", "centre and every block")
    ]
    assert {(row.run.method, row.run.variant, row.out_dist) for row in more} == {
        (*which, name)
        for name in (NOVELTY, BACKGROUND, NOISE)
        for which in (
            ("ODIN", PER_OUT_SET),
            *(("ODM", variant) for variant in OURS),
            *blocks,
            *TWO,
        )
    }
    assert len(more) == 6 * (1 + len(OURS) + len(blocks) + len(TWO))


def test_every_block_scores_the_networks_of_the_metric_rows(
    experiments: Sequence[Experiment], results: Path, rows: list[Result]
) -> None:
    synthetic = next(e for e in experiments if e.variant == SYNTHETIC)
    boundary = Boundary.load(results / "models" / cell_name(synthetic))
    split = synthetic.split
    vectors = torch.cat([boundary.outputs(i).get("stages") for i in boundary.batches(split.train)])
    detector = StageMahalanobis().fit(vectors, torch.from_numpy(split.train.labels))
    for out in split.unseen_out:
        scores = [
            detector.score(
                torch.cat([boundary.outputs(i).get("stages") for i in boundary.batches(source)])
            )
            for source in (split.test, out.source)
        ]
        row = next(
            r
            for r in rows
            if (r.run.method, r.run.variant, r.out_dist)
            == ("ODM, every block", SYNTHETIC, out.name)
        )
        assert row.convention == "exact"
        expected = measure(*(score.numpy() for score in scores)).auroc
        assert row.numbers.auroc == pytest.approx(expected, abs=0.02)
        assert row.run.detector == "StageMahalanobis"


def test_synthetic_rows_have_the_budget_of_the_others(experiments: Sequence[Experiment]) -> None:
    odm = experiments[2]
    for alone in experiments[-2:]:
        assert alone.base
        assert alone.base.training
        assert alone.base.training.steps + alone.training.steps == odm.training.steps
        assert alone.base.synthetic == TINY.synthetic
    based = synthetic_rows(odm, based=True)
    assert [row.training.steps for row in based] == [odm.training.steps] * 2
    assert [row.base.training if row.base else odm for row in based] == [None, None]


def test_three_networks_have_the_steps_of_one_each(experiments: Sequence[Experiment]) -> None:
    row = synthetic_rows(next(e for e in experiments if e.variant == "novelty seen"))[0]
    row = replace(row, training=replace(row.training, seed=2))
    together = by_three_networks(row)  # whose base is within the row's own steps, as in Table 3
    assert row.base
    assert row.base.training
    assert together.base
    assert (row.networks, together.networks) == (1, 3)
    assert together.training == replace(row.training, seed=6)
    assert together.base.training == replace(row.base.training, seed=6)
    assert together.base.synthetic == row.base.synthetic


def test_three_networks_have_bases_and_seeds_of_their_own(
    images: TsinghuaImages, tmp_path: Path
) -> None:
    base = replace(TINY.training, steps=2)
    scale = replace(TINY, base=base)
    experiments = tsinghua_experiments(images, CLASSES, scale, seed=1)
    *single, alone = and_three_networks(experiments, base)
    assert single == list(experiments)
    assert alone.variant == f"{SYNTHETIC}, {TOGETHER}"
    assert alone.training.seed == 3  # seed 0 has 0, 1, 2
    run_experiments([alone], tmp_path, base=base, keep_models=True)
    together = Boundary.load(tmp_path / "models" / cell_name(alone)).backbone
    assert isinstance(together, Ensemble)
    first, *others = (network.state_dict() for network in together.members)
    expected = run(replace(alone, networks=1)).boundary.backbone.state_dict()
    assert all(torch.equal(first[name], expected[name]) for name in expected)
    assert len(others) == 2
    for weights in others:
        assert not all(torch.equal(weights[name], first[name]) for name in first)
    written = list(read_rows(tmp_path / "table2.jsonl"))
    assert {row.run.variant for row in written} == {alone.variant}
    assert {row.run.detector for row in written} == {
        "NearestCentre",
        "StageMahalanobis",
        "CentreAndStages",
    }
    assert all(row.run.provenance["settings"]["networks"] == 3 for row in written)
    assert and_three_networks(experiments, None) == experiments  # at the paper's size


def test_a_second_call_trains_nothing(
    experiments: Sequence[Experiment], results: Path, rows: list[Result]
) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("trained again")

    run_experiments(experiments, results, on_step=fail)
    assert list(read_rows(results / "table2.jsonl")) == rows
    with pytest.raises(AssertionError, match="trained again"):
        run_experiments([replace(experiments[1], scale="paper")], results, on_step=fail)
    assert not list((results / ".running").glob("*"))


def test_a_lost_cell_alone_is_trained_again(
    experiments: Sequence[Experiment], rows: list[Result], tmp_path: Path
) -> None:
    kept = [row for row in rows if not row.run.method.startswith("ML")]
    (tmp_path / "table2.jsonl").write_text("".join(row.to_json() + "\n" for row in kept))
    trained = set()
    run_experiments(experiments, tmp_path, on_step=lambda e, p: trained.add((e.method, e.variant)))
    assert trained == {("ML", "")}
    assert len(list(read_rows(tmp_path / "table2.jsonl"))) == len(rows)
    assert not (tmp_path / "models").exists()


def test_ml_and_odm_differ_in_the_seen_outs_alone(experiments: Sequence[Experiment]) -> None:
    odin, ml, *odms = experiments
    assert [[o.name for o in e.split.seen_out] for e in odms] == [
        [NOVELTY],
        [BACKGROUND],
        [NOISE],
        [NOVELTY, "Composed"],
        [],
        [NOVELTY],
    ]
    assert not ml.split.seen_out
    assert not odin.split.seen_out
    for odm in odms[:-2]:
        assert (ml.objective, ml.training, ml.backbone_name) == (
            odm.objective,
            odm.training,
            "WRN-10-1",
        )
        assert ml.split.train.sha256() == odm.split.train.sha256()
        assert ml.split.test.sha256() == odm.split.test.sha256()


def hashes_of_images(source: Source) -> set[bytes]:
    return {image.tobytes() for image in source.images(slice(None))}


def test_odin_is_tuned_on_nothing_that_is_trained_on_or_tested(
    images: TsinghuaImages, experiments: Sequence[Experiment]
) -> None:
    split = experiments[0].split
    outs = odin_validation_outs(images, CLASSES, seed=0)
    assert [(out.name, len(out)) for out in outs] == [
        (NOVELTY, 160),
        (BACKGROUND, 12),
        (NOISE, 500),
    ]
    met = hashes_of_images(split.train) | hashes_of_images(split.test)
    met |= set.union(*(hashes_of_images(out.source) for out in split.unseen_out))
    for out in outs:
        assert not hashes_of_images(out) & met
    unseen = images.train.signs.source.take_classes(CLASSES.unseen)
    assert not hashes_of_images(outs[0]) & hashes_of_images(unseen)


def test_odin_rows_say_how_their_values_were_chosen(rows: list[Result]) -> None:
    for row in (row for row in rows if row.run.method == "ODIN"):
        note = row.run.provenance["settings"]["odin"]
        names = {NOVELTY, BACKGROUND, NOISE} if row.run.variant == "" else {row.out_dist}
        assert row.run.detector == "Odin"
        assert all(tried["fpr95"].keys() == names for tried in note["grid"])
        best = min(
            note["grid"], key=lambda t: (sum(t["fpr95"].values()), -sum(t["auroc"].values()))
        )
        assert (note["temperature"], note["epsilon"]) == (best["temperature"], best["epsilon"])
        assert note["images"] == {
            "in": row.run.provenance["settings"]["sizes"]["validation"],
            NOVELTY: 160,
            BACKGROUND: 12,
            NOISE: 500,
        }


def test_the_kept_model_gives_the_rows(
    experiments: Sequence[Experiment], results: Path, rows: list[Result]
) -> None:
    for experiment in experiments:
        boundary = Boundary.load(results / "models" / cell_name(experiment))
        inside = boundary.judge(experiment.split.test).score
        for out in experiment.split.unseen_out:
            row = next(
                r
                for r in rows
                if (r.run.method, r.run.variant, r.out_dist)
                == (experiment.method, experiment.variant, out.name)
            )
            expected = measure(inside, boundary.judge(out.source).score)
            assert row.convention == "exact"
            assert row.numbers.auroc == pytest.approx(expected.auroc, abs=0.02)
            assert (row.n_in, row.n_out) == (30, len(out.source))


def test_rows_per_out_set_are_those_of_a_boundary_with_their_values(
    experiments: Sequence[Experiment], results: Path, rows: list[Result]
) -> None:
    boundary, split = (
        Boundary.load(results / "models" / cell_name(experiments[0])),
        experiments[0].split,
    )
    for out in split.unseen_out:
        row = next(
            r
            for r in rows
            if (r.run.variant, r.out_dist, r.convention) == (PER_OUT_SET, out.name, "exact")
        )
        note = row.run.provenance["settings"]["odin"]
        boundary.detector = Odin(note["temperature"], note["epsilon"])
        scores = [boundary.judge(source).score for source in (split.test, out.source)]
        assert row.numbers.auroc == pytest.approx(measure(*scores).auroc, abs=0.02)


def test_an_out_set_is_seen_by_its_name_or_where_none_is_named_so_by_its_kind(
    experiments: Sequence[Experiment], rows: list[Result]
) -> None:
    split = experiments[1].split
    (background,) = (out for out in split.unseen_out if out.name == BACKGROUND)
    other = OutSet(background.source.without_labels("other pictures"), background.kind)
    for seen_out, expected in (
        ((background,), {BACKGROUND}),
        ((other,), {BACKGROUND, NOISE}),
        ((), set()),
    ):
        assert seen_names(seen_out, split.unseen_out) == expected
    for row in rows:
        assert row.seen == (row.out_dist in row.run.seen_out)


def test_figure_3_takes_the_kept_models_or_trains(
    experiments: Sequence[Experiment], results: Path, tmp_path: Path
) -> None:
    trained: set[str] = set()

    def note(experiment: Experiment, progress: Progress) -> None:
        trained.add(experiment.method)

    kept = [figure3.evidence_of(experiment, results, note) for experiment in experiments[1:3]]
    assert not trained
    anew = figure3.evidence_of(experiments[2], tmp_path, note)
    assert trained == {"ODM"}
    assert [one.method for one in kept] == ["ML", "ODM (novelty seen)"]
    np.testing.assert_allclose(
        anew.in_set.judgement.embedding, kept[1].in_set.judgement.embedding, atol=1e-3
    )
    picture, page = figure3.write_figure3(tmp_path, kept)
    assert picture.read_bytes().startswith(b"\x89PNG")
    text = page.read_text()
    assert figure3.IN in text
    assert figure3.OUT in text


def test_the_tables_are_written_from_the_rows(
    results: Path, rows: list[Result], tmp_path: Path
) -> None:
    text = table2.write_table2(results).read_text()
    assert text.count("| ODM (noise seen)") == 6
    assert text.count("| ODIN (per out set)") == 6
    assert "(paper 4.38)" in text
    splits = [
        replace(
            row,
            run=replace(row.run, experiment="table4", split=f"Tsinghua random {i}"),
            numbers=replace(row.numbers, auroc=row.numbers.auroc / (1 + i)),
        )
        for row in rows
        for i in (0, 1)
    ]
    (tmp_path / "table4.jsonl").write_text("".join(row.to_json() + "\n" for row in splits))
    text = table4.write_table4(tmp_path).read_text()
    ml = next(
        row
        for row in rows
        if (row.run.method, row.out_dist, row.convention) == ("ML", NOVELTY, "exact")
    )
    assert f"{100 * ml.numbers.auroc * 0.75:.2f} ± " in text
    assert "over 2 runs" in text
    assert "(paper 20.85)" in text
    assert write_table(tmp_path, "table4", "Title", "Intro", "Note").name == "table4.md"


def test_table4_runs_table2_on_each_random_split_from_one_base(
    images: TsinghuaImages, tmp_path: Path
) -> None:
    splits = [replace(CLASSES, name=f"random {index}") for index in (0, 3)]
    scale = replace(TINY, base=replace(TINY.training, steps=5))
    trained: list[tuple[str, str, int]] = []

    def note(experiment: Experiment, progress: Progress) -> None:
        if progress.step == progress.steps:
            trained.append((experiment.split.name, experiment.method, progress.step))

    table4.reproduce_on(images, splits, tmp_path, scale=scale, on_step=note)
    each = [("base", 5), ("ODIN", 8), ("ML", 3), *[("ODM", 3)] * 6]
    each += [("ODM", 5), ("ODM", 3)] * 3  # three networks, each from a base of its own
    assert trained == [(f"Tsinghua random {i}", *one) for i in (0, 3) for one in each]
    rows = list(read_rows(tmp_path / "table4.jsonl"))
    for cell in published("table4"):
        assert sum(cell.matches(row) for row in rows) == 4, cell
    about = {row.run.method: row.run.provenance["settings"] for row in rows if not three(row)}
    started = {method: settings.get("started_from") for method, settings in about.items()}
    assert started["ODIN"] is None
    assert started["ML"]["training"]["steps"] == started["ODM"]["training"]["steps"] == 5
    assert (
        started["ML"]["objective"]["rule"]["images"],
        started["ML"]["objective"]["rule"]["outs"],
    ) == (128, 0)
    of_three = [row.run.provenance["settings"] for row in rows if three(row)]
    assert {settings["base"]["training"]["steps"] for settings in of_three} == {5}
    assert not any("started_from" in settings for settings in of_three)

    (tmp_path / "table4.jsonl").write_text(
        "".join(row.to_json() + "\n" for row in rows if row.run.method != "ML")
    )
    trained.clear()
    table4.reproduce_on(images, splits, tmp_path, scale=scale, on_step=note)
    assert trained == [
        (f"Tsinghua random {i}", "ML", 3) for i in (0, 3)
    ]  # from the bases that were kept


def test_figure_3_goes_on_from_the_base_where_no_model_was_kept(
    images: TsinghuaImages, tmp_path: Path
) -> None:
    scale = replace(TINY, base=replace(TINY.training, steps=5))
    table2.reproduce_on(images, CLASSES, tmp_path, scale=scale, keep_models=True)
    text = (tmp_path / "table2_classes.md").read_text()
    assert text.count("images of 1 unseen classes") == 11
    of_table, anew = (
        figure3.evidence_on(images, CLASSES, folder, scale=scale)
        for folder in (tmp_path, tmp_path / "new")
    )
    for one, other in zip(of_table, anew, strict=True):
        np.testing.assert_allclose(
            one.in_set.judgement.embedding, other.in_set.judgement.embedding, atol=1e-3
        )


def test_the_scales() -> None:
    paper, cpu = choose_scale("paper", compile=True), choose_scale("cpu", compile=True)
    assert (paper.backbone_name, paper.training.steps, paper.training.rate_at(9_000)) == (
        "WRN-28-10",
        10_000,
        1e-4,
    )
    assert (paper.training.compile, paper.base) == (True, None)
    assert (cpu.backbone_name, cpu.training.steps, cpu.size) == ("WRN-16-2", 800, 32)
    assert cpu.base == replace(tsinghua_scale.BASE, compile=True)
    short = choose_scale("cpu", cpu=SHORT_CPU)
    assert (short.batches, short.training.steps, short.size) == (
        BalancedBatches(images=48, outs=16),
        500,
        24,
    )
    assert "images of 24 pixels" in about_scales(short)
    assert "shrunk to 16, then 20 pixels" in about_scales(short)
    assert "shrunk to 16, then 24 pixels" in about_scales(cpu)
    assert choose_scale("paper", cpu=SHORT_CPU) == choose_scale("paper")
    with pytest.raises(UserError, match="expected one of cpu, paper"):
        choose_scale("quick")
