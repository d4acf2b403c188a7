"""Frozen networks: embedded once, kept, and a boundary built from what is kept."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from knowbound.backbones import EfficientNetLite, LeNet
from knowbound.building.frozen import (
    ANOMALIES,
    TOLD,
    BuiltFrozen,
    FrozenNetwork,
    FrozenParts,
    build_frozen,
    left_out,
    made_keys,
    parts_of,
)
from knowbound.data.feature_cache import FeatureCache
from knowbound.data.outs.anomalies import anomaly_images
from knowbound.data.outs.made_pixels import MadePixels
from knowbound.data.preprocessing import Preprocessing
from knowbound.data.source import Source
from knowbound.data.split import OutSet
from knowbound.detectors import NearestCentre
from knowbound.errors import UserError
from knowbound.labels import Kind
from knowbound.outputs import Outputs
from tests.backbones.settled import settled_lite
from tests.samples import blobs


def network(seed: int = 0) -> LeNet:
    torch.manual_seed(seed)
    return LeNet(4, height=16, width=16)


def frozen(folder: Path, seed: int = 0, side: int = 16) -> FrozenNetwork:
    return FrozenNetwork(network(seed), "lenet", side, "float32", FeatureCache(folder))


@pytest.fixture(autouse=True)
def few_anomalies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("knowbound.building.frozen.ANOMALIES", 40)


def test_rows_are_the_networks_outputs_in_order(tmp_path: Path) -> None:
    source, net = blobs(per_class=30), network().eval()
    embedded = frozen(tmp_path).embed(source)
    assert (embedded.computed, len(embedded)) == (90, 90)
    for index in (0, 64, 89):
        image = torch.from_numpy(source.images(np.array([index]))).float() / 255
        said = net(image, stages=True)
        for field in ("stages", "features"):
            row = embedded.outputs.get(field)[index]
            torch.testing.assert_close(row, said.get(field)[0].detach(), rtol=2e-3, atol=2e-3)
    assert embedded.outputs.embedding is None
    part = embedded.take(np.array([5, 2]))
    assert torch.equal(part.get("features"), embedded.outputs.get("features")[[5, 2]])


def test_what_is_kept_is_not_computed_again(tmp_path: Path) -> None:
    source = blobs(per_class=10)
    first = frozen(tmp_path).embed(source)
    more = Source(
        "more",
        np.concatenate(
            [source.images(slice(None)), blobs(per_class=2, seed=9).images(slice(None))]
        ),
        np.zeros(36, dtype=np.int64),
        ("one",),
    )
    again = frozen(tmp_path).embed(more)
    assert (first.computed, again.computed) == (30, 6)
    assert torch.equal(again.outputs.get("features")[:30], first.outputs.get("features"))


def test_other_weights_sizes_and_formats_have_other_rows(tmp_path: Path) -> None:
    one = frozen(tmp_path)
    others = [
        frozen(tmp_path, seed=1),
        frozen(tmp_path, side=20),
        FrozenNetwork(network(), "lenet", 16, "bf16", FeatureCache(tmp_path)),
        FrozenNetwork(network(), "other", 16, "float32", FeatureCache(tmp_path)),
    ]
    assert len({one.key, *(other.key for other in others)}) == 5
    assert frozen(tmp_path).key == one.key


def test_every_pooling_is_kept_at_once(tmp_path: Path) -> None:
    source = Source(
        "some",
        np.random.default_rng(0).integers(0, 256, (3, 3, 96, 96), np.uint8),
        np.zeros(3, dtype=np.int64),
        ("one",),
    )
    middle = FrozenNetwork(
        settled_lite(pooling="middle"), "lite", 96, "float32", FeatureCache(tmp_path)
    )
    mean = middle.pooled_by("mean")
    first, second = middle.embed(source), mean.embed(source)
    assert (first.computed, second.computed) == (3, 0)
    images = torch.from_numpy(source.images(slice(None))).float() / 255
    for frozen, embedded in ((middle, first), (mean, second)):
        with torch.no_grad():
            said = frozen.network(images).get("features")
        torch.testing.assert_close(embedded.outputs.get("features"), said, rtol=2e-3, atol=2e-3)
    assert not torch.equal(first.outputs.get("features"), second.outputs.get("features"))


def test_keys_of_made_images_tell_them_apart() -> None:
    def made(count: int, seed: int) -> Source:
        return anomaly_images((1, 16, 16), count, np.random.default_rng(seed))

    keys = made_keys(made(30, 0))
    assert len(set(keys)) == 30
    assert {len(key) for key in keys} == {32}
    assert keys == made_keys(made(30, 0))
    assert not set(keys) & set(made_keys(made(30, 1)))
    assert not set(keys) & set(made_keys(made(31, 0)))


def test_the_images_that_stand_for_all_are_of_every_kind() -> None:
    made = anomaly_images((1, 16, 16), ANOMALIES, np.random.default_rng(0))
    assert isinstance(made.pixels, MadePixels)
    kinds = made.pixels.make.kinds
    assert set(kinds[:TOLD].tolist()) == set(kinds.tolist())


def built(folder: Path, held_out: np.ndarray, groups: np.ndarray | None = None) -> BuiltFrozen:
    source = blobs(per_class=30)
    parts = FrozenParts(frozen(folder), NearestCentre("features"), Preprocessing(16, 16, 1))
    new = OutSet(blobs(per_class=8, first=3, classes=2).without_labels(), Kind.NOVELTY)
    return build_frozen(
        parts,
        source,
        [bytes([index]) * 32 for index in range(90)],
        held_out,
        [new],
        groups=np.arange(90) if groups is None else groups,
        data_sha256={"known": "0"},
    )


def test_the_boundary_says_of_pictures_what_it_was_calibrated_with(tmp_path: Path) -> None:
    held_out = np.arange(0, 90, 4)
    made = built(tmp_path, held_out)
    boundary = made.boundary
    judged = boundary.judge(blobs(per_class=30).take(held_out))
    np.testing.assert_allclose(judged.score, made.scores.numpy(), rtol=0.02, atol=0.01)
    assert (judged.nearest == made.nearest.numpy()).all()
    expected = np.sort(made.scores.numpy())[int(np.ceil(0.95 * 24)) - 1]
    assert float(boundary.threshold.thresholds[0]) == expected
    assert made.embedded.computed == 90 + 40 + 16
    assert built(tmp_path, held_out).embedded.computed == 0
    assert boundary.about["settings"]["frozen"].startswith("lenet-16-float32-")


def test_parts_keep_groups_whole_and_classes_even() -> None:
    labels, groups = np.repeat([0, 1], [60, 40]), np.arange(100)
    parts = parts_of(labels, groups)
    assert set(parts) == set(range(25))
    for label, (low, high) in ((0, (2, 3)), (1, (1, 2))):
        counts = np.bincount(parts[labels == label], minlength=25)
        assert (counts.min(), counts.max()) == (low, high)
    pairs = parts_of(labels, groups // 2)
    assert (pairs[::2] == pairs[1::2]).all()
    assert len(set(parts_of(labels[:7], groups[:7]))) == 7


def one_by_one(vectors: Tensor, labels: Tensor, groups: np.ndarray) -> Tensor:
    """Distances to the nearest mean of the images of other parts."""
    scores, parts = [], parts_of(labels.numpy(), groups)
    for index, vector in enumerate(vectors):
        rest = torch.from_numpy(parts != parts[index])
        assert not rest[torch.from_numpy(groups == groups[index])].any()
        means = [vectors[rest & (labels == label)].mean(dim=0) for label in range(3)]
        scores.append(min((vector - mean).norm() for mean in means))
    return torch.stack(scores)


def test_each_part_is_left_out_of_what_judges_it(tmp_path: Path) -> None:
    groups = np.arange(90) // 2
    made = built(tmp_path, np.empty(0, dtype=np.int64), groups)
    vectors = made.embedded.outputs.get("features")
    labels = torch.from_numpy(blobs(per_class=30).labels)
    torch.testing.assert_close(
        made.scores.float(), one_by_one(vectors, labels, groups), rtol=1e-4, atol=1e-4
    )
    assert made.positions.tolist() == list(range(90))
    centres = torch.stack([vectors[labels == label].mean(dim=0) for label in range(3)])
    torch.testing.assert_close(made.boundary.detector.centres.float(), centres)


def test_a_class_of_one_group_cannot_be_left_out() -> None:
    outputs = Outputs(features=torch.eye(4))
    with pytest.raises(UserError, match="one group alone"):
        left_out(
            NearestCentre("features"), outputs, torch.tensor([0, 0, 1, 1]), np.array([0, 1, 2, 2])
        )


def test_weights_are_in_evaluation_mode_and_stay_as_they_are(tmp_path: Path) -> None:
    net = EfficientNetLite()
    kept = FrozenNetwork(net, "lite", 64, "float32", FeatureCache(tmp_path)).network
    assert not kept.training
    assert not any(parameter.requires_grad for parameter in kept.parameters())
