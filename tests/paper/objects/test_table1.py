"""Table 1 end to end on toy pictures: every method's rows in both conventions, resumable, beside
the paper's cells."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from knowbound.backbones import WideResNet
from knowbound.boundary.boundary import Boundary
from knowbound.boundary.together import with_detectors
from knowbound.ccag import CcagTraining
from knowbound.data.augmentation import Augmentation
from knowbound.data.source import Source
from knowbound.detectors import Energy, MaxSoftmax, NearestCentre, Odin
from knowbound.detectors.choice import make_detector
from knowbound.errors import UserError
from knowbound.judgement import DECISIONS
from knowbound.metrics import auroc, measure
from knowbound.objectives import EnergyMargin
from knowbound.paper.objects.experiments import (
    AUTHORS,
    OURS,
    energy_experiment,
    odm_experiments,
)
from knowbound.paper.objects.page import unseen_mean, write_table1
from knowbound.paper.objects.rows import CE_DETECTORS, Scores, as_stepped
from knowbound.paper.objects.scale import Scale, choose_scale
from knowbound.paper.objects.split import (
    IN_DISTS,
    SHAPE,
    Pictures,
    seen_validation,
    table1_split,
    validation_split,
)
from knowbound.paper.objects.table1 import run_in_dist
from knowbound.paper.odin_tuning import tune_odin
from knowbound.paper.own_rows import SEEN_AND_SYNTHETIC, SYNTHETIC, TWO_HEADS
from knowbound.paper.published import published
from knowbound.result import Result, append_rows, read_rows
from knowbound.training.settings import Training
from tests.samples import blob_images

ODMS = (AUTHORS, OURS, SYNTHETIC, SEEN_AND_SYNTHETIC)
METHODS = {
    ("Max softmax", ""),
    *((name, "") for name in CE_DETECTORS.values()),
    *(
        (f"ODM{words}", variant)
        for variant in ODMS
        for words in ("", ", every block", ", centre and every block")
    ),
    (TWO_HEADS, OURS),
    (TWO_HEADS, SYNTHETIC),
    ("Confidence loss", ""),
    ("Outlier exposure", ""),
    ("Energy fine-tuning", ""),
    ("CC-AG", ""),
}


def small(
    embedding: int | None = None, logits: int | None = None, *, variant: str, dropout: float = 0.0
) -> WideResNet:
    """A network that trains in a moment, in place of the VGG-13 of either variant."""
    del variant, dropout
    return WideResNet(embedding, logits, depth=10, widen=1)


SHORT = Training(steps=4, learning_rate=1e-3, augmentation=Augmentation())
TOY = Scale(
    "quick",
    "Small",
    small,
    ce=dict.fromkeys(IN_DISTS, SHORT),
    odm=SHORT,
    authors=SHORT,
    fine_tuning=SHORT,
    ccag={
        name: CcagTraining(steps=2, images=8, noise=4, width=2, sheets=2)
        for name in ("SVHN", "CIFAR-10")
    },
    images=dict.fromkeys(IN_DISTS, 16),
    authors_images=16,
    synthetic=60,
)


def pictures_of(name: str, per_class: int, seed: int, classes: int = 3, first: int = 0) -> Source:
    labels = np.repeat(np.arange(classes, dtype=np.int64), per_class)
    images = blob_images(labels + first, np.random.default_rng(seed), 32, 3)
    return Source(name, images, labels, tuple(str(c) for c in range(classes)))


def toy_pictures() -> Pictures:
    return Pictures(
        train={
            "SVHN": pictures_of("SVHN", 70, 1),
            "CIFAR-10": pictures_of("CIFAR-10", 70, 2, first=2),
        },
        test={
            "SVHN": pictures_of("SVHN", 10, 3),
            "CIFAR-10": pictures_of("CIFAR-10", 10, 4, first=2),
        },
        unseen=(
            pictures_of("Tiny ImageNet (validation sample)", 8, 5, 2).without_labels(),
            pictures_of("LSUN (scenes stand-in)", 8, 6, 2).without_labels(),
        ),
    )


@pytest.fixture(scope="module")
def pictures() -> Pictures:
    return toy_pictures()


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory, pictures: Pictures) -> Path:
    folder = tmp_path_factory.mktemp("results")
    run_in_dist(pictures, "SVHN", TOY, folder, 0, None)
    return folder


@pytest.fixture(scope="module")
def rows(results: Path) -> list[Result]:
    return list(read_rows(results / "table1.jsonl"))


def test_every_method_is_measured_on_every_set_in_both_conventions(rows: list[Result]) -> None:
    outs = [
        "CIFAR-10",
        "Tiny ImageNet (validation sample)",
        "LSUN (scenes stand-in)",
        "Gaussian noise",
    ]
    assert {(row.run.method, row.run.variant) for row in rows} == METHODS
    assert sorted((r.run.method, r.run.variant, r.out_dist, r.convention) for r in rows) == sorted(
        (*method, out, convention)
        for method in METHODS
        for out in outs
        for convention in ("exact", "ccag")
    )
    saw = {(row.run.method, row.run.variant) for row in rows if row.seen}
    assert saw == {
        *((m, v) for m, v in METHODS if m.startswith(("ODM", TWO_HEADS)) and v != SYNTHETIC),
        ("Confidence loss", ""),
        ("Outlier exposure", ""),
        ("Energy fine-tuning", ""),
    }
    assert {row.out_dist for row in rows if row.seen} == {"CIFAR-10"}
    assert all(row.in_accuracy is not None for row in rows)


def test_the_network_of_cross_entropy_is_trained_once(rows: list[Result]) -> None:
    ce = [row for row in rows if row.run.method in {"Max softmax", *CE_DETECTORS.values()}]
    assert len({row.run.train_seconds for row in ce}) == 1
    assert {row.run.detector for row in ce if row.run.method == "ODIN"} == {"Odin"}
    fitted = next(row for row in ce if row.run.method == "Mahalanobis").run.provenance["settings"]
    assert fitted["fit_images"] == 60  # all training images: fewer than the limit


def row_of(rows: list[Result], method: str, out_dist: str) -> Result:
    wanted = (method, out_dist, "exact")
    return next(r for r in rows if (r.run.method, r.out_dist, r.convention) == wanted)


@pytest.fixture(scope="module")
def max_softmax(results: Path) -> Boundary:
    """The kept model of the max-softmax row."""
    (folder,) = (results / "models").iterdir()
    return Boundary.load(folder)


def test_odin_is_tuned_on_validation_images_and_on_seen_ones_that_were_kept_back(
    pictures: Pictures, rows: list[Result], max_softmax: Boundary
) -> None:
    """Its values are those that these images give; no test image is among them."""
    split, kept_back = table1_split(pictures, "SVHN"), seen_validation(pictures, "SVHN")
    assert not images_of(kept_back) & (
        images_of(split.seen_out[0].source) | images_of(split.unseen_out[0].source)
    )
    again = tune_odin(max_softmax.backbone, split.validation, [kept_back])
    note = row_of(rows, "ODIN", "Gaussian noise").run.provenance["settings"]
    assert note["detector"] == again.detector.settings
    assert note["odin"]["sha256"] == kept_back.sha256()


def test_other_detectors_learn_from_training_images_and_the_threshold_from_held_out_ones(
    pictures: Pictures, rows: list[Result], max_softmax: Boundary
) -> None:
    split = table1_split(pictures, "SVHN")
    names = ("k_nearest", "vim")
    made = [make_detector(name, ("features", "logits")) for name in names]
    again = with_detectors(max_softmax, made, split.train, split.validation)
    (out,) = (out for out in split.unseen_out if out.name == "Gaussian noise")
    for name, boundary in zip(names, again, strict=True):
        row = row_of(rows, CE_DETECTORS[name], "Gaussian noise")
        found = auroc(boundary.judge(split.test).score, boundary.judge(out.source).score)
        assert row.numbers.auroc == pytest.approx(found, abs=0.01)
        assert row.decisions == counted(boundary, out.source)


def counted(boundary: Boundary, source: Source) -> dict[str, int]:
    decisions = boundary.judge(source).decision.tolist()
    return {str(word): decisions.count(index) for index, word in enumerate(DECISIONS)}


def test_energies_before_fine_tuning_are_of_training_and_seen_out_images(
    pictures: Pictures, rows: list[Result], max_softmax: Boundary
) -> None:
    split = table1_split(pictures, "SVHN")
    note = row_of(rows, "Energy fine-tuning", "Gaussian noise").run.provenance["settings"]
    for name, source in (("in", split.train), ("seen out", split.seen_out[0].source)):
        logits = max_softmax.judge(source).embedding  # a network without a metric head shows them
        slow = -np.log(np.exp(logits.astype(np.float64)).sum(axis=1)).mean()
        assert note["mean_energy_before"][name] == pytest.approx(slow, abs=1e-3)


def test_seeds_stay_apart_on_the_page(tmp_path: Path, rows: list[Result]) -> None:
    others = [
        replace(
            row,
            run=replace(row.run, seed=1),
            numbers=replace(row.numbers, auroc=row.numbers.auroc / 2),
            in_accuracy=0.5 * (row.in_accuracy or 0),
        )
        for row in rows
    ]
    append_rows(tmp_path / "table1.jsonl", [*rows, *others])
    text = write_table1(tmp_path).read_text()
    shown = [
        line
        for line in text.splitlines()
        if line.startswith("| ViM |") and "Gaussian noise" in line
    ]
    exact, legacy = (
        next(
            r.numbers.auroc
            for r in rows
            if (r.run.method, r.out_dist, r.convention) == ("ViM", "Gaussian noise", c)
        )
        for c in ("exact", "ccag")
    )
    for half, line in zip((1, 2), shown, strict=True):
        assert f"{100 * legacy / half:.1f} / {100 * exact / half:.1f}" in line
    mean = next(line for line in text.splitlines() if line.startswith("| ViM |"))
    accuracy = next(r.in_accuracy for r in rows if r.run.method == "ViM")
    assert accuracy is not None
    assert mean.split("|")[2].strip() == f"{75 * accuracy:.1f}"
    assert "Means over 2 seeds" in text


def test_a_second_call_trains_nothing(
    pictures: Pictures, results: Path, rows: list[Result]
) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("trained again")

    run_in_dist(pictures, "SVHN", TOY, results, 0, fail)
    assert list(read_rows(results / "table1.jsonl")) == rows


def test_legacy_rows_step_through_probabilities_in_float32() -> None:
    rng = np.random.default_rng(0)
    scores = rng.exponential(1e-9, 50)  # -log p so small that p is 1 in float32
    assert (as_stepped(MaxSoftmax(), scores) == -1).all()
    assert (as_stepped(Energy(), scores) == scores).all()
    far, other = rng.exponential(1, 50), rng.exponential(2, 60)
    stepped = as_stepped(Odin(), far)
    assert np.allclose(-stepped, np.exp(-far), rtol=1e-6)
    assert auroc(far, other) == pytest.approx(auroc(stepped, as_stepped(Odin(), other)))


def released_auroc(inside: Scores, outside: Scores, steps: int = 200_000) -> float:
    """The paper's ``basic_baseline`` and the AUROC of its ``calculate_metrics_B``, on distances;
    each of its counts as a share of sorted scores."""
    squared = np.concatenate([inside**2, outside**2])
    confidence = 1.0 - squared / np.max(squared)
    x, y = np.sort(confidence[: len(inside)]), np.sort(confidence[len(inside) :])
    start, end = confidence.min(), confidence.max()
    area, before = 0.0, 1.0
    for delta in np.arange(start, end, (end - start) / steps):
        tpr = 1 - np.searchsorted(x, delta, "left") / len(x)
        fpr = 1 - np.searchsorted(y, delta, "right") / len(y)
        area += (before - fpr) * tpr
        before = fpr
    return area


def test_legacy_rows_of_distances_step_through_their_squares() -> None:
    rng = np.random.default_rng(0)
    inside, outside = rng.gamma(4, 1, 600), rng.gamma(9, 1, 700)
    outside[:10] *= 300  # the steps are then as wide as most of the scores
    detector = NearestCentre()
    found = measure(*(as_stepped(detector, s) for s in (inside, outside)), convention="ccag")
    assert found.auroc == pytest.approx(released_auroc(inside, outside), abs=1e-9)
    assert found.auroc < measure(inside, outside, convention="ccag").auroc - 0.01


def test_odm_of_ours_sees_composed_images_and_the_authors_draw_a_quarter_of_pairs(
    pictures: Pictures,
) -> None:
    split = table1_split(pictures, "CIFAR-10")
    authors, ours, *_ = odm_experiments(split, TOY)
    assert [out.name for out in authors.split.seen_out] == ["SVHN"]
    assert [out.name for out in ours.split.seen_out] == ["SVHN", "Composed"]
    assert authors.objective.to_dict()["rule"] == {
        "name": "AuthorsBatches",
        "images": 16,
        "same": 0.25,
    }
    assert (authors.objective.to_dict()["squared"], authors.objective.to_dict()["dim"]) == (
        False,
        10,
    )
    assert ours.split.test.sha256() == authors.split.test.sha256()


def test_energy_margins_lie_outside_the_mean_energies_before_fine_tuning(
    pictures: Pictures,
) -> None:
    split = table1_split(pictures, "SVHN")
    network = small(logits=3, variant="ccag")
    boundary = Boundary(network, MaxSoftmax(), SHAPE, split.train.class_names)
    experiment = energy_experiment(split, TOY, boundary)
    assert isinstance(experiment.objective, EnergyMargin)
    before = experiment.note["mean_energy_before"]
    with torch.no_grad():
        images = torch.from_numpy(split.train.images(slice(None)).astype(np.float32) / 255)
        logits = network.eval()(images).logits
    assert before["in"] == pytest.approx(-float(logits.logsumexp(1).mean()), abs=1e-4)
    assert experiment.objective.in_margin < before["in"]
    assert experiment.objective.out_margin > before["seen out"]
    copied = experiment.backbone(logits=3)
    assert copied is not network
    assert all(map(torch.equal, copied.state_dict().values(), network.state_dict().values()))


def test_splits_share_no_image_and_validation_sees_no_test(pictures: Pictures) -> None:
    split = table1_split(pictures, "SVHN")
    kept_back = seen_validation(pictures, "SVHN")
    assert (len(split.train), len(split.validation), len(kept_back)) == (60, 150, 150)
    hashes = [images_of(part) for part in (split.train, split.validation, split.test)]
    assert not hashes[0] & (hashes[1] | hashes[2])
    assert not hashes[1] & hashes[2]
    assert not images_of(split.seen_out[0].source) & (
        images_of(kept_back) | images_of(split.unseen_out[0].source)
    )
    chosen = validation_split(split, split.unseen_out[1:2])
    assert (len(chosen.train), len(chosen.test)) == (54, 6)
    assert images_of(chosen.test) < hashes[0]
    with pytest.raises(UserError, match="expected one of SVHN, CIFAR-10"):
        table1_split(pictures, "MNIST")
    few = pictures.subset(20, 5)
    assert (len(few.train["SVHN"]), len(few.test["CIFAR-10"]), len(few.unseen[0])) == (20, 5, 5)


def test_the_page_has_three_numbers_in_a_cell(results: Path, rows: list[Result]) -> None:
    text = write_table1(results).read_text()
    row = next(
        r
        for r in rows
        if (r.run.method, r.run.variant, r.out_dist, r.convention)
        == ("ODM", AUTHORS, "Gaussian noise", "exact")
    )
    legacy = next(
        r
        for r in rows
        if (r.run.method, r.run.variant, r.out_dist, r.convention)
        == ("ODM", AUTHORS, "Gaussian noise", "ccag")
    )
    paper = next(
        p
        for p in published("table1")
        if (p.in_dist, p.method, p.out_dist) == ("SVHN", "ODM", "Gaussian noise")
    )
    line = next(
        x for x in text.splitlines() if x.startswith(f"| ODM ({AUTHORS})") and "Gaussian noise" in x
    )
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    three = (paper, legacy.numbers, row.numbers)
    assert cells[1] == f"{100 * row.in_accuracy:.1f} ({100 * paper.in_accuracy:.1f})"
    assert cells[4] == " / ".join(f"{100 * (1 - one.fpr95):.1f}" for one in three)
    assert cells[6] == " / ".join(f"{100 * one.auroc:.1f}" for one in three)
    assert "ccag_of_distances" not in text
    stand_in = next(
        x for x in text.splitlines() if x.startswith("| CC-AG") and "LSUN (scenes stand-in)" in x
    )
    assert "/ " in stand_in
    assert "100.0 / " in stand_in  # the paper's TNR on LSUN
    assert "![Generated images](table1_ccag_svhn_quick.png)" in text
    group = [r for r in rows if r.run.method == "ViM" and r.convention == "exact"]
    assert unseen_mean(group) == pytest.approx(
        np.mean([r.numbers.auroc for r in group if r.out_dist != "CIFAR-10"])
    )
    assert json.dumps(row.run.provenance)


def test_the_page_names_rows_whose_distances_were_not_squared(
    tmp_path: Path, rows: list[Result]
) -> None:
    former = [
        replace(row, convention="ccag_of_distances")
        if (row.run.method, row.convention) == ("ODM", "ccag")
        and row.run.variant in (AUTHORS, OURS)
        else row
        for row in rows
    ]
    append_rows(tmp_path / "table1.jsonl", former)
    text = write_table1(tmp_path).read_text()
    said = f"The rows of ODM ({AUTHORS}) and ODM ({OURS}) were measured before"
    assert said in text
    append_rows(tmp_path / "new" / "table1.jsonl", rows)
    new = write_table1(tmp_path / "new").read_text()
    assert said not in new
    assert table(text) == table(new)


def table(page: str) -> list[str]:
    return [line for line in page.splitlines() if line.startswith("|")]


def test_the_scales() -> None:
    published_scale = choose_scale("paper")
    assert published_scale.ccag["CIFAR-10"].beta == 0.1
    for in_dist, images in (("SVHN", 73_257), ("CIFAR-10", 50_000)):  # 100 epochs, as CC-AG's
        epochs = published_scale.ce[in_dist].steps * published_scale.images[in_dist] / images
        assert epochs == pytest.approx(100, abs=0.01)
        assert published_scale.ccag[in_dist].steps == published_scale.ce[in_dist].steps
    assert choose_scale("paper").ce["SVHN"].rate_at(50_000) == pytest.approx(2e-5)
    assert (
        sum(p.numel() for p in choose_scale("paper").backbone(10, variant="paper").parameters())
        == 9_935_434
    )
    with pytest.raises(UserError, match="quick, cpu, paper"):
        choose_scale("huge")


def images_of(source: Source) -> set[bytes]:
    return {image.tobytes() for image in source.images(slice(None))}
