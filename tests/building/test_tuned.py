"""Fine-tuning: what changes, what stays, what is seen in a mirror, and what is kept."""

import copy
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from knowbound.backbones import LeNet
from knowbound.building import kept_tunings
from knowbound.building.frozen import FrozenNetwork, FrozenParts, build_frozen, parts_of
from knowbound.building.handedness import without_handedness
from knowbound.building.kept_tunings import InTurn, tuned_once
from knowbound.building.tuned import Tuned, Tuner
from knowbound.building.tuning import Tuning
from knowbound.building.tuning_views import views_of
from knowbound.data.feature_cache import FeatureCache
from knowbound.data.photograph_views import PhotographViews
from knowbound.data.preprocessing import Preprocessing
from knowbound.data.source import Source
from knowbound.detectors import NearestCentre
from knowbound.errors import UserError
from tests.backbones.settled import settled_lite

PLAIN = PhotographViews(area=1.0, ratio=1.0, brightness=0.0, contrast=0.0, saturation=0.0)


@pytest.fixture(autouse=True)
def apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KNOWBOUND_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("knowbound.building.frozen.ANOMALIES", 24)


def pictures(per_class: int = 6) -> Source:
    """Of two classes, whose tones differ a little."""
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], per_class)
    pixels = rng.integers(0, 200, (2 * per_class, 3, 64, 64))
    pixels[labels == 1, 0] += 30
    return Source("two", pixels.astype(np.uint8), labels, ("dull", "red"))


def features(network: Any, source: Source) -> Tensor:
    with torch.no_grad():
        images = torch.from_numpy(source.images(slice(None))).float() / 255
        said: Tensor = network.activations(images)[1]
        return said


def changed(before: Any, after: Any) -> set[str]:
    """The names of the weights that differ."""
    state = after.state_dict()
    return {name for name, old in before.state_dict().items() if not torch.equal(old, state[name])}


def tell_apart(rows: Tensor, labels: Tensor) -> float:
    """How far the class means are apart, in spreads within the classes."""
    units = normalize(rows, dim=1)
    means = torch.stack([units[labels == label].mean(dim=0) for label in (0, 1)])
    within = (units - means[labels]).norm(dim=1).mean()
    return float((means[0] - means[1]).norm() / within)


@pytest.mark.parametrize("depth", ["last", "all"])
def test_the_part_asked_for_changes_and_the_last_layers_tell_the_classes_better_apart(
    depth: Any,
) -> None:
    """All of it has random weights here, which a few steps do not turn into anything."""
    network, source = settled_lite(pooling="middle"), pictures()
    kept = copy.deepcopy(network)
    rows, labels = features(network, source), torch.from_numpy(source.labels)
    steps: list[int] = []
    tuning = Tuning(depth, steps=6, learning_rate=3e-3, images=8, per_image=2)
    tuner = Tuner(network, source, rows, tuning)
    made = tuner.tune(on_step=lambda progress: steps.append(progress.step))
    assert not changed(kept, network)
    touched = changed(network, made.network)
    late = {"head.conv", "head.norm"}
    places = {".".join(name.split(".")[:2]) for name in touched}
    assert late <= places
    assert (places <= late) == (depth == "last")
    assert not [name for name in touched if "running" in name]
    if depth == "last":
        now = tell_apart(features(made.network, source), labels)
        assert now > 1.1 * tell_apart(rows, labels)
    assert steps == [1, 2, 3, 4, 5, 6]
    assert made.images == 6 * 8
    assert not any(weight.requires_grad for weight in made.network.parameters())


def test_the_two_halves_make_the_whole() -> None:
    network, images = settled_lite(pooling="middle"), torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        whole = network.activations(images)[1]
        for depth in network.depths:
            halves = network.halves(depth)
            torch.testing.assert_close(halves.after(halves.before(images)), whole)
    with pytest.raises(ValueError, match="no published weights"):
        LeNet().halves("last")


def test_the_same_seed_tunes_the_same_network_and_another_does_not() -> None:
    network, source = settled_lite(), pictures()
    rows = features(network, source)
    one, again, other = (
        Tuner(network, source, rows, Tuning(steps=2, images=4, seed=seed)).tune()
        for seed in (0, 0, 1)
    )
    assert not changed(one.network, again.network)
    assert changed(one.network, other.network)


def test_a_class_that_a_mirror_changes_is_told() -> None:
    """Left and right: the mirror image of each is the other; a ring stays a ring."""
    rng = np.random.default_rng(0)
    places = np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]])
    labels = np.repeat([0, 1, 2], 10)
    plain = places[labels] + rng.normal(0, 0.05, (30, 3))
    mirrored = plain[:, [1, 0, 2]]
    told = without_handedness(*map(torch.from_numpy, (plain, mirrored, labels)))
    assert told.tolist() == [False, False, True]
    assert without_handedness(*map(torch.from_numpy, (plain, plain, labels))).all()


def test_an_image_does_not_help_to_recognise_itself() -> None:
    """Slow version: for each image the means are taken again, without it."""
    rng = np.random.default_rng(1)
    labels = np.repeat([0, 1, 2], 7)
    plain = rng.normal(0, 1, (21, 4)) + np.eye(3, 4)[labels]
    mirrored = plain + rng.normal(0, 0.7, (21, 4))
    units, turned = (
        rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (plain, mirrored)
    )
    lost = np.zeros(3)
    for index, label in enumerate(labels):
        others = np.arange(21) != index
        means = np.stack([units[others & (labels == c)].mean(axis=0) for c in range(3)])
        said = [np.linalg.norm(rows[index] - means, axis=1).argmin() for rows in (units, turned)]
        lost[label] += (int(said[0] == label) - int(said[1] == label)) / 7
    told = without_handedness(*map(torch.from_numpy, (plain, mirrored, labels)))
    assert told.tolist() == (lost <= 0.1).tolist()
    assert len(set(told.tolist())) == 2


def test_only_classes_without_handedness_are_mirrored() -> None:
    source = pictures()
    halves = settled_lite().halves("all")
    views = views_of(halves, source, torch.tensor([True, False]), Tuning("all", views=PLAIN))
    chosen = np.arange(12)
    original = torch.from_numpy(source.images(chosen)).float() / 255
    moved = torch.zeros(12, dtype=torch.bool)
    for step in range(6):
        moved |= (views(chosen, step) - original).abs().amax(dim=(1, 2, 3)) > 1e-3
    assert moved[:6].all()
    assert not moved[6:].any()


def test_the_last_blocks_are_given_views_that_are_taken_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network, source = settled_lite(), pictures()
    halves, counted = network.halves("last"), []

    def before(images: Tensor) -> Tensor:
        counted.append(len(images))
        return halves.before(images)

    slow = type(halves)(before, halves.after, halves.tuned)
    views = views_of(
        slow, source, torch.ones(2, dtype=torch.bool), Tuning(per_image=3, views=PLAIN)
    )
    assert sum(counted) == 3 * 12
    original = torch.from_numpy(source.images(slice(None))).float() / 255
    with torch.no_grad():
        either = [halves.before(original), halves.before(original.flip(3))]
    for step in range(4):
        for row, index in zip(views(np.array([3, 8]), step), (3, 8), strict=True):
            assert min(float((row - of[index]).abs().max()) for of in either) < 2e-2
    assert sum(counted) == 3 * 12
    monkeypatch.setattr("knowbound.building.tuning_views.KEPT", 24)
    views_of(slow, source, torch.ones(2, dtype=torch.bool), Tuning(per_image=9, views=PLAIN))
    assert sum(counted) == 3 * 12 + 24


def never(*rest: Any) -> Tuned:
    raise AssertionError("nothing was to be tuned")


def test_what_was_tuned_is_kept_and_a_damaged_file_is_tuned_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network, source, tuning = settled_lite(pooling="middle"), pictures(), Tuning(steps=1, images=4)
    rows = features(network, source)
    first = tuned_once(network, "key", source, rows, tuning)
    (path,) = kept_tunings.kept_tunings()
    with monkeypatch.context() as patched:
        patched.setattr(kept_tunings, "Tuner", never)
        again = tuned_once(network, "key", source, rows, tuning)
        assert (first.remembered, again.remembered) == (False, True)
        assert not changed(first.network, again.network)
        assert again.to_dict() == first.to_dict() | {"seconds": again.seconds}
        assert again.network.settings == network.settings
        for other in ({"key": "other"}, {"tuning": Tuning(steps=2, images=4)}):
            asked = {"key": "key", "tuning": tuning, **other}
            with pytest.raises(AssertionError, match="nothing was to be"):
                tuned_once(network, asked["key"], source, rows, asked["tuning"])
    path.write_bytes(path.read_bytes()[:-9])
    assert not tuned_once(network, "key", source, rows, tuning).remembered
    assert kept_tunings.empty_tunings() > 0
    assert not kept_tunings.kept_tunings()


def test_of_many_tunings_those_used_last_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_tunings, "MOST", 2)
    network, source = settled_lite(), pictures(2)
    made = Tuned(network, Tuning(), 1.0, 1, 0.0, ())
    monkeypatch.setattr(
        kept_tunings, "Tuner", lambda *rest: SimpleNamespace(tune=lambda **named: made)
    )
    for number, key in enumerate("abc"):
        tuned_once(network, key, source, torch.empty(0), Tuning())
        for path in kept_tunings.kept_tunings()[:1]:
            os.utime(path, (1e9 + number, 1e9 + number))
    assert len(kept_tunings.kept_tunings()) == 2


def test_a_boundary_on_a_tuned_network_learns_and_judges_by_it(tmp_path: Path) -> None:
    source, held = pictures(30), np.arange(0, 60, 3)
    frozen = FrozenNetwork(settled_lite(), "lite", 64, "float32", FeatureCache(tmp_path))
    parts = FrozenParts(
        frozen,
        NearestCentre("features"),
        Preprocessing(64, 64, 3),
        acceptance=0.8,
        tuning=Tuning(steps=2, learning_rate=1e-3, images=8, per_image=2),
    )
    keys = [bytes([index]) * 32 for index in range(60)]

    def built(held_out: Any) -> Any:
        return build_frozen(
            parts, source, keys, held_out, groups=np.arange(60), data_sha256={"known": "0"}
        )

    made = built(held)
    boundary = made.boundary
    assert boundary.about["objective"] == "fine-tuned"
    assert boundary.about["train_images"] == 16
    assert boundary.about["settings"]["tuned"]["tuning"]["steps"] == 2
    assert changed(frozen.network, boundary.backbone)
    judged = boundary.judge(source.take(held))
    np.testing.assert_allclose(judged.score, made.scores.numpy(), rtol=0.02, atol=0.01)
    learned = np.setdiff1d(np.arange(60), held)
    rows = features(boundary.backbone, source.take(learned))
    labels = torch.from_numpy(source.labels[learned])
    means = torch.stack([rows[labels == label].mean(dim=0) for label in (0, 1)])
    expected = torch.cdist(features(boundary.backbone, source.take(held)), means).amin(dim=1)
    np.testing.assert_allclose(judged.score, expected.numpy(), rtol=0.02, atol=0.02)


def test_without_held_out_images_each_part_is_left_out_of_a_tuning(tmp_path: Path) -> None:
    """Slow version: for each part a tuner that never sees it."""
    source, network = pictures(10), settled_lite()
    tuning = Tuning(steps=2, learning_rate=1e-3, images=8, per_image=2, views=PLAIN)
    frozen = FrozenNetwork(network, "lite", 64, "float32", FeatureCache(tmp_path))
    detector = NearestCentre("features")
    parts = FrozenParts(frozen, detector, Preprocessing(64, 64, 3), acceptance=0.8, tuning=tuning)
    keys = [bytes([index]) * 32 for index in range(20)]
    groups = np.arange(20)
    made = build_frozen(parts, source, keys, groups[:0], groups=groups, data_sha256={"known": "0"})
    assert made.tuned is not None
    assert made.positions.tolist() == list(range(20))
    rows, labels = features(network, source), torch.from_numpy(source.labels)
    part = parts_of(source.labels, groups, 5)
    assert sorted(np.bincount(part)) == [4] * 5
    expected = torch.zeros(20)
    for out in range(5):
        kept = np.flatnonzero(part != out)
        tuner = Tuner(network, source, rows, tuning)
        said = features(tuner.tune(kept).network, source)
        means = torch.stack([said[kept][labels[kept] == c].mean(dim=0) for c in (0, 1)])
        expected[part == out] = torch.cdist(said, means).amin(dim=1)[part == out]
    np.testing.assert_allclose(made.scores.numpy(), expected.numpy(), rtol=0.02, atol=0.02)
    in_turn = InTurn(detector, part)
    again = tuned_once(network, frozen.key, source, rows, tuning, in_turn)
    assert again.remembered
    assert again.left_out is not None
    assert torch.equal(again.left_out[0], made.scores)
    assert torch.equal(again.left_out[1], made.nearest)
    with pytest.raises(UserError, match="pictures of one group alone"):
        build_frozen(
            parts, source, keys, groups[:0], groups=source.labels, data_sha256={"known": "0"}
        )


def test_settings_and_images_that_cannot_be_are_refused() -> None:
    for wrong in ({"steps": 0}, {"images": 0}, {"learning_rate": 0.0}, {"scale": -1.0}):
        with pytest.raises(ValueError, match="expected steps"):
            Tuning(**wrong)
    assert [round(Tuning(steps=10, learning_rate=1.0).rate_at(s), 3) for s in (0, 4, 9)] == [
        0.196,
        0.571,
        0.02,
    ]
    one = Source("one", np.zeros((3, 3, 64, 64), np.uint8), np.zeros(3, np.int64), ("only",))
    with pytest.raises(UserError, match="expected at least two"):
        Tuner(settled_lite(), one, torch.zeros(3, 1280), Tuning())
