"""What every objective promises, whatever its loss: on batches as they come, degenerate ones too."""

import itertools
import json
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from torch import Tensor

from knowbound.backbones import LeNet
from knowbound.objectives import (
    OBJECTIVES,
    Contrastive,
    EnergyMargin,
    LiftedStructure,
    MetricObjective,
    Objective,
    TwoHeads,
)
from knowbound.objectives.metric_learning import LOSSES, MetricLearning
from knowbound.outputs import Outputs

CLASSES, DIM = 3, 6
EXAMPLES: dict[str, Objective] = {
    **{name: kind() for name, kind in OBJECTIVES.items()},
    "linear contrastive": Contrastive(squared=False),
    "energy margin": EnergyMargin(),
    "two heads, undecided": TwoHeads(weight=1.0, undecided=0.5),
    "two heads, other metric": TwoHeads(metric=LiftedStructure(dim=5)),
    **{name: MetricLearning(name) for name in LOSSES},
}
BATCHES = {
    "in and out": [0, 0, 1, 2, -1, 1, -2, -1, 2, 0],
    "no out-of-distribution images": [0, 0, 1, 2, 1],
    "out-of-distribution images only": [-1, -1, -2],
    "one class": [1, 1, 1, 1],
    "one class and others": [1, 1, -1, 1, -1],
    "no two of a class": [0, 1, 2, -1],
    "one image": [2],
    "nothing": [],
}

DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
STOPPED = {"CircleLoss"}
"""Losses with factors that by their equation get no gradient."""

every = pytest.mark.parametrize("objective", EXAMPLES.values(), ids=EXAMPLES.keys())
batches = pytest.mark.parametrize("labels", BATCHES.values(), ids=BATCHES.keys())


def outputs(labels: list[int], dtype: torch.dtype = torch.float64, scale: float = 1.0) -> Outputs:
    """Both heads for as many images as there are labels; gradients are wanted."""
    generator = torch.Generator().manual_seed(len(labels))
    embedding = torch.randn(len(labels), DIM, generator=generator, dtype=torch.float64)
    logits = torch.randn(len(labels), CLASSES, generator=generator, dtype=torch.float64)
    both = [(scale * head).to(dtype).requires_grad_() for head in (embedding, logits)]
    return Outputs(embedding=both[0], logits=both[1])


def of(labels: list[int]) -> Tensor:
    return torch.tensor(labels, dtype=torch.int64)


def gradients(objective: Objective, given: Outputs, labels: list[int]) -> list[Tensor]:
    """Of the loss, with respect to every head that it reads."""
    objective.loss(given, of(labels)).backward()
    found = [given.get(head).grad for head in objective.heads]
    assert all(gradient is not None for gradient in found)
    return [gradient for gradient in found if gradient is not None]


@every
@batches
def test_loss_and_gradients_are_finite(objective: Objective, labels: list[int]) -> None:
    """Where images are all alike, apart or far apart, in every precision."""
    for dtype, scale in itertools.product(DTYPES, (0.0, 1.0, 100.0)):
        given = outputs(labels, dtype, scale)
        loss = objective.loss(given, of(labels))
        assert loss.shape == ()
        assert loss.isfinite()
        assert loss.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
        for gradient in gradients(objective, given, labels):
            assert gradient.isfinite().all()


@every
@batches
def test_gradients_are_those_of_finite_differences(objective: Objective, labels: list[int]) -> None:
    given = outputs(labels)
    if not labels:
        assert objective.loss(given, of(labels)) == 0
        return
    if objective.called(outs=True) in STOPPED:
        return
    heads = [given.get(head) for head in objective.heads]

    def loss(*values: Tensor) -> Tensor:
        named = dict(zip(objective.heads, values, strict=True))
        return objective.loss(Outputs(**named), of(labels))

    assert torch.autograd.gradcheck(loss, heads)


@every
@batches
def test_half_precision_is_summed_in_float32(objective: Objective, labels: list[int]) -> None:
    given = Outputs(*(None if head is None else head.detach() for head in outputs(labels)))
    half = Outputs(*(None if head is None else head.bfloat16() for head in given))
    assert objective.loss(half, of(labels)) == objective.loss(half.float(), of(labels))


@every
@batches
def test_the_order_of_a_batch_does_not_matter(objective: Objective, labels: list[int]) -> None:
    given = outputs(labels)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(1))
    moved = Outputs(*(None if head is None else head[order] for head in given))
    found = objective.loss(moved, of(labels)[order]).item()
    assert found == pytest.approx(objective.loss(given, of(labels)).item(), rel=1e-9, abs=1e-12)


@every
@batches
def test_out_sets_are_told_apart_by_no_loss(objective: Objective, labels: list[int]) -> None:
    given, alike = outputs(labels), [max(label, -1) for label in labels]
    others = [-5 - 3 * i if label < 0 else label for i, label in enumerate(labels)]
    losses = [objective.loss(given, of(some)).item() for some in (labels, alike, others)]
    assert losses[1:] == losses[:1] * 2


@every
def test_two_out_of_distribution_images_neither_attract_nor_repel(objective: Objective) -> None:
    """The second out-of-distribution image moves about the first, as far from every in-distribution
    image as before: no loss can see it, unless it compares the two."""
    labels = BATCHES["one class and others"] + [0, 0, 2]
    given = outputs(labels)
    embedding = given.get("embedding").detach().clone()
    inside = of(labels) >= 0
    embedding[inside, -2:] = 0
    first, second = of(labels).lt(0).nonzero()[:, 0].tolist()
    embedding[second] = embedding[first]
    radius = embedding[second, -2:].norm()
    losses = []
    for angle in torch.linspace(0, 6, 7).double():
        turned = embedding.clone()
        turned[second, -2:] = radius * torch.stack([angle.cos(), angle.sin()])
        losses.append(objective.loss(given._replace(embedding=turned), of(labels)).item())
    assert losses == pytest.approx(losses[:1] * len(losses), rel=1e-12)


@every
def test_in_distribution_images_and_others_are_told_apart(objective: Objective) -> None:
    """A few steps down the gradient part them: the loss falls, and by their score they differ."""
    labels = [0, 0, 0, 1, 1, 1, 2, 2, 2, -1, -1, -1]
    given = outputs(labels)
    heads = [given.get(head) for head in objective.heads]
    optimizer = torch.optim.Adam(heads, 0.1)
    before = objective.loss(given, of(labels)).item()
    for _ in range(100):
        optimizer.zero_grad()
        loss = objective.loss(given, of(labels))
        loss.backward()
        optimizer.step()
    assert loss.item() < before
    if not isinstance(objective, MetricObjective):
        return
    embedding = given.get("embedding").detach()
    if objective.unit_length:
        embedding = torch.nn.functional.normalize(embedding)
    centres = torch.stack([embedding[of(labels) == c].mean(dim=0) for c in range(CLASSES)])
    distances = torch.cdist(embedding, centres)
    assert distances[:9].argmin(dim=1).tolist() == labels[:9]
    assert distances[:9].amin(dim=1).max() < distances[9:].amin(dim=1).min()


@every
def test_an_out_of_distribution_image_is_never_an_anchor(objective: Objective) -> None:
    """With images of no class alone there is nothing to learn for a metric loss."""
    if isinstance(objective, MetricObjective):
        labels = BATCHES["out-of-distribution images only"]
        given = outputs(labels)
        assert objective.loss(given, of(labels)) == 0
        assert not any(g.any() for g in gradients(objective, given, labels))


@every
def test_what_it_reads_is_what_it_asks_the_network_for(objective: Objective) -> None:
    sizes = objective.head_sizes(7)
    assert set(sizes) - {"unit_length"} == set(objective.heads)
    assert sizes.get("logits", 7) == 7
    assert sizes.get("unit_length", False) == objective.unit_length
    shown = LeNet(**sizes)(torch.rand(2, 1, 28, 28))
    assert all(shown.get(head).shape == (2, sizes[head]) for head in objective.heads)
    labels = BATCHES["in and out"]
    given, bare = outputs(labels), Outputs(features=torch.zeros(len(labels), 2))
    assert objective.loss(given, of(labels)).isfinite()
    with pytest.raises(ValueError, match="this network gives"):
        objective.loss(bare, of(labels))


@every
def test_settings_are_json_and_enough_to_tell_two_objectives_apart(objective: Objective) -> None:
    written = objective.to_dict()
    assert json.loads(json.dumps(written)) == written
    assert written["name"] == objective.name
    assert written["rule"]["name"] == type(objective.rule).__name__
    settings = {field.name for field in fields(objective)}  # type: ignore[arg-type]
    assert settings | {"name"} == written.keys()
    assert replace(objective).to_dict() == written  # type: ignore[type-var]
    other = replace(objective, rule=replace(objective.rule, images=7))  # type: ignore[type-var]
    assert other.to_dict() != written


@every
def test_batches_hold_every_class_and_are_a_function_of_seed_and_step(objective: Objective) -> None:
    labels = np.repeat([0, 1, 2, -1, -2], 40)
    planned = objective.batches(labels, seed=3)
    np.testing.assert_array_equal(planned[5], objective.batches(labels, seed=3)[5])
    drawn = np.concatenate([labels[planned[step]] for step in range(5)])
    expected = {0, 1, 2, -1, -2} if objective.uses_outs else {0, 1, 2}
    assert set(drawn.tolist()) == expected
