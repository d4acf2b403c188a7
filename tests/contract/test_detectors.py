"""What every detector promises: finite scores that tell near images from far ones, or a sentence.

The images are far clusters; logits are linear in the features, as a network's are."""

import re
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from knowbound.detectors import DETECTORS, Detector
from knowbound.detectors.choice import detectors_for, make_detector
from knowbound.errors import UserError
from knowbound.outputs import Field, Outputs

FIELDS: tuple[Field, ...] = ("stages", "features", "embedding", "logits")


@dataclass(frozen=True)
class World:
    """Classes with centres far apart, and a network with outputs linear in a picture's place."""

    centres: Tensor
    width: int = 8

    def outputs(self, labels: Tensor, seed: int = 0) -> Outputs:
        """Of images around the centres of their classes."""
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randn(len(labels), self.centres.shape[1], generator=generator)
        return self.of(self.centres[labels] + noise, seed)

    def far(self, count: int, seed: int = 1) -> Outputs:
        """Of images between the classes, and off in the other features too."""
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randn(count, self.centres.shape[1], generator=generator)
        return self.of(self.centres.mean(dim=0) + noise, seed, rest=-6.0)

    def of(self, places: Tensor, seed: int, rest: float = 0.0) -> Outputs:
        generator = torch.Generator().manual_seed(seed + 1000)
        others = torch.randn(len(places), self.width - places.shape[1], generator=generator)
        features = torch.cat([places, others + rest], dim=1)
        logits = (places @ self.centres.T - self.centres.square().sum(dim=1) / 2) / 12 + 12
        return Outputs(torch.cat([features, features**2 / 12], dim=1), features, places, logits)


NARROW = ("openmax",)
"""Fitted to a handful of distances, a Weibull distribution is narrow, and new images of a class lie
outside it: the scores are finite, no more.  So are those of the authors' program."""
WITHIN = (
    "centre_and_stages",
    "mahalanobis",
    "relative_mahalanobis",
    "stage_mahalanobis",
    "two_heads",
)
"""They measure in units of how images of one class differ, and refuse images that do not."""
THREE = World(12 * torch.eye(3))


def labels_of(classes: int, per_class: int) -> Tensor:
    return torch.arange(classes * per_class) % classes


def learned(name: str, outputs: Outputs, labels: Tensor) -> Detector:
    detector: Detector = DETECTORS[name]()
    return detector.learn(detector.read(outputs), labels)


def scores(detector: Detector, outputs: Outputs) -> Tensor:
    return detector.score(detector.read(outputs)).double()


def apart(detector: Detector, near: Outputs, far: Outputs) -> float:
    """AUROC: the share of pairs in which the far image scores higher."""
    inside, outside = scores(detector, near), scores(detector, far)
    assert torch.isfinite(inside).all()
    assert torch.isfinite(outside).all()
    higher = (outside[None] > inside[:, None]).double()
    return float((higher + 0.5 * (outside[None] == inside[:, None])).mean())


def changed(outputs: Outputs, change: Callable[[Tensor], Tensor]) -> Outputs:
    return Outputs(*(change(outputs.get(field)) for field in FIELDS))


@pytest.mark.parametrize("name", DETECTORS)
def test_detector(name: str) -> None:
    labels = labels_of(3, 2500)
    outputs = THREE.outputs(labels)
    detector = DETECTORS[name]()
    assert isinstance(detector, Detector)
    seen = detector.read(outputs)
    assert detector.learn(seen, labels) is detector
    found = detector.score(seen)
    assert found.shape == (len(labels),)
    assert torch.isfinite(found).all()
    classes = detector.classify(seen)
    assert classes.dtype == torch.int64
    assert (classes == labels).float().mean() > 0.99
    # higher = more out-of-distribution
    assert scores(detector, THREE.far(200)).median() > found.quantile(0.99)
    torch.testing.assert_close(detector.score(seen[:1]), found[:1])
    assert detector.score(seen[:0]).shape == (0,)
    assert detector.classify(seen[:0]).shape == (0,)


@pytest.mark.parametrize("name", DETECTORS)
def test_state_is_stored_in_buffers(name: str) -> None:
    labels = labels_of(3, 200)
    detector = learned(name, THREE.outputs(labels), labels)
    seen = detector.read(THREE.outputs(labels, seed=5))
    again = DETECTORS[name](**detector.settings)
    for buffer, value in detector.state_dict().items():
        *parents, last = buffer.split(".")
        setattr(again.get_submodule(".".join(parents)), last, torch.empty_like(value))
    again.load_state_dict(detector.state_dict())
    torch.testing.assert_close(again.score(seen), detector.score(seen))
    assert (again.classify(seen) == detector.classify(seen)).all()


@pytest.mark.parametrize("name", DETECTORS)
def test_the_unit_of_a_feature(name: str) -> None:
    """Columns a million times larger and smaller leave the order, or the docstring says why not."""
    labels = labels_of(3, 100)
    train, test = (
        changed(THREE.outputs(labels, seed), lambda field: field.double()) for seed in (0, 1)
    )
    detector: Detector = DETECTORS[name]()
    vectors, queries = detector.read(train), detector.read(test)
    order = detector.learn(vectors, labels).score(queries).argsort()
    kept = []
    for unit in (1e6, 1e-6):
        for first in (0, 1):
            units = torch.ones(vectors.shape[1], dtype=torch.float64)
            units[first::2] = unit
            try:
                again = detector.learn(vectors * units, labels).score(queries * units)
            except UserError:
                kept.append(False)
            else:
                kept.append(torch.equal(again.argsort(), order))
    if detector.scale_free:
        assert all(kept)
    else:
        assert not all(kept)
        assert re.search(r"[Tt]he\s+unit\s+of\s+(the|single)", DETECTORS[name].__doc__)


@pytest.mark.parametrize("name", DETECTORS)
@pytest.mark.parametrize("unit", [1e-9, 1e9])
def test_one_unit_for_all_features_changes_nothing(name: str, unit: float) -> None:
    labels = labels_of(3, 100)
    train, test = (
        changed(THREE.outputs(labels, seed), lambda field: field.double()) for seed in (0, 1)
    )
    detector: Detector = DETECTORS[name]()
    if detector.reads == ("logits",):
        pytest.skip("the unit of logits is that of probabilities")

    def scaled(outputs: Outputs) -> Tensor:
        return detector.read(Outputs(*(unit * field for field in outputs[:3]), outputs.logits))

    order = detector.learn(detector.read(train), labels).score(detector.read(test)).argsort()
    again = DETECTORS[name]()
    again.read(train)
    found = again.learn(scaled(train), labels).score(scaled(test)).argsort()
    # float32 distances round, and two images in a hundred thousand may be exchanged
    assert (found != order).double().mean() < 0.02


@pytest.mark.parametrize("name", DETECTORS)
def test_a_constant_feature(name: str) -> None:
    labels = labels_of(3, 100)

    def with_constant(outputs: Outputs) -> Outputs:
        *others, logits = outputs
        still = torch.full((len(labels), 2), 0.1)
        return Outputs(*(torch.cat([field, still], dim=1) for field in others), logits)

    detector = learned(name, with_constant(THREE.outputs(labels)), labels)
    near, far = with_constant(THREE.outputs(labels, 1)), with_constant(THREE.far(len(labels)))
    assert apart(detector, near, far) > 0.95


@pytest.mark.parametrize("name", DETECTORS)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_value_that_is_not_finite(name: str, value: float) -> None:
    labels = labels_of(3, 50)
    outputs = changed(THREE.outputs(labels), torch.clone)
    for field in outputs:
        field[7, -1] = value
        field[10, 0] = value
    detector: Detector = DETECTORS[name]()
    vectors = detector.read(outputs)
    with pytest.raises(UserError, match=r"2 have .* not finite .*numbers 7, 10,.*'b' has 2 images"):
        detector.learn(vectors, labels, class_names=("a", "b", "c"))


@pytest.mark.parametrize("name", DETECTORS)
def test_one_image_of_a_class(name: str) -> None:
    labels = torch.cat([labels_of(2, 60), torch.tensor([2])])
    outputs = THREE.outputs(labels)
    if DETECTORS[name].least_images > 1:
        with pytest.raises(UserError, match="class 2 has 1 image; .* needs at least"):
            learned(name, outputs, labels)
        return
    detector = learned(name, outputs, labels)
    test = labels_of(2, 50)
    assert apart(detector, THREE.outputs(test, 1), THREE.far(100)) > 0.95


@pytest.mark.parametrize("name", DETECTORS)
def test_one_image_of_every_class(name: str) -> None:
    labels = torch.arange(3)
    outputs = THREE.outputs(labels)
    if name in WITHIN or DETECTORS[name].least_images > 1:
        with pytest.raises(UserError, match="1 of the smallest class|1 image; .* needs"):
            learned(name, outputs, labels)
        return
    detector = learned(name, outputs, labels)
    assert apart(detector, THREE.outputs(labels_of(3, 30), 1), THREE.far(100)) > 0.9


@pytest.mark.parametrize("name", DETECTORS)
def test_fewer_images_than_features(name: str) -> None:
    world = World(12 * torch.eye(3, 10), width=40)
    labels = labels_of(3, 6)
    detector = learned(name, world.outputs(labels), labels)
    auroc = apart(detector, world.outputs(labels_of(3, 30), 1), world.far(100))
    assert auroc > 0.8 or name in NARROW


@pytest.mark.parametrize("name", DETECTORS)
def test_every_image_twice(name: str) -> None:
    labels = labels_of(3, 60).repeat(2)
    once = THREE.outputs(labels[:180])
    detector = learned(name, changed(once, lambda field: field.repeat(2, 1)), labels)
    assert apart(detector, THREE.outputs(labels[:180], 1), THREE.far(100)) > 0.95


@pytest.mark.parametrize("name", DETECTORS)
def test_copies_of_one_image_for_each_class(name: str) -> None:
    labels = labels_of(3, 20)
    outputs = changed(THREE.outputs(torch.arange(3)), lambda field: field.repeat(20, 1))
    if name in WITHIN:
        with pytest.raises(UserError, match="gives every image the same score"):
            learned(name, outputs, labels)
        return
    detector = learned(name, outputs, labels)
    auroc = apart(detector, THREE.outputs(labels, 1), THREE.far(100))
    assert auroc > 0.9 or name in NARROW


@pytest.mark.parametrize("name", DETECTORS)
def test_images_that_do_not_differ(name: str) -> None:
    outputs = changed(THREE.outputs(torch.tensor([0])), lambda field: field.repeat(60, 1))
    with pytest.raises(UserError, match="no two of 60 training images differ"):
        learned(name, outputs, labels_of(3, 20))


@pytest.mark.parametrize("name", DETECTORS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(name: str, dtype: torch.dtype) -> None:
    labels = labels_of(3, 100)
    half = [
        changed(outputs, lambda field: field.to(dtype))
        for outputs in (THREE.outputs(labels), THREE.outputs(labels, 1), THREE.far(100))
    ]
    detector = learned(name, half[0], labels)
    assert apart(detector, half[1], half[2]) > 0.95
    assert (detector.classify(detector.read(half[1])) == labels).double().mean() > 0.97


@pytest.mark.parametrize("name", DETECTORS)
def test_a_thousand_classes(name: str) -> None:
    generator = torch.Generator().manual_seed(0)
    world = World(8 * torch.randn(1000, 16, generator=generator), width=24)
    labels = labels_of(1000, 3)
    detector = learned(name, world.outputs(labels), labels)
    near, far = world.outputs(torch.arange(0, 1000, 20), 1), world.far(50)
    assert apart(detector, near, far) > 0.8 or name in NARROW


@pytest.mark.parametrize("name", DETECTORS)
def test_labels_that_are_no_classes(name: str) -> None:
    outputs = THREE.outputs(labels_of(3, 10))
    for labels in (labels_of(3, 10) * 2, labels_of(3, 10) - 1, labels_of(3, 9), torch.rand(30)):
        with pytest.raises(UserError, match="expected"):
            learned(name, outputs, labels)


@pytest.mark.parametrize("name", DETECTORS)
def test_a_network_has_the_detectors_whose_outputs_it_gives(name: str) -> None:
    kind = DETECTORS[name]
    assert name in detectors_for(FIELDS)
    assert kind.__doc__
    for field in kind.choices or kind.reads:
        without = [other for other in FIELDS if other != field]
        if kind.choices:
            chosen = make_detector(name, without).reads[0]
            assert chosen == next(other for other in kind.choices if other != field)
        else:
            assert name not in detectors_for(without)
