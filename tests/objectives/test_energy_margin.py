"""The energy-bounded loss, by loops."""

import json
import math

import pytest
import torch

from knowbound.objectives import EnergyMargin
from knowbound.objectives.energy_margin import free_energy
from tests.objectives.outs import BATCHES, literal_cross_entropy, mean, random_logits

NEAR = EnergyMargin(weight=0.3, in_margin=-4.0, out_margin=-1.5, temperature=1.5)
"""Margins among the energies of the batches here, so that some images lie on each side of each."""


def literal_loss(objective: EnergyMargin, rows: list[list[float]], labels: list[int]) -> float:
    T = objective.temperature
    energies = [-T * math.log(sum(math.exp(z / T) for z in row)) for row in rows]
    ins = [
        max(0.0, e - objective.in_margin) ** 2
        for e, label in zip(energies, labels, strict=True)
        if label >= 0
    ]
    outs = [
        max(0.0, objective.out_margin - e) ** 2
        for e, label in zip(energies, labels, strict=True)
        if label < 0
    ]
    return objective.weight * (mean(ins) + mean(outs))


@pytest.mark.parametrize("objective", [NEAR, EnergyMargin()], ids=["near", "as published"])
@pytest.mark.parametrize("name", BATCHES)
def test_loss_is_cross_entropy_and_two_squared_hinges(name: str, objective: EnergyMargin) -> None:
    labels = BATCHES[name]
    logits = random_logits(labels)
    expected = literal_cross_entropy(logits, labels) + literal_loss(
        objective, logits.tolist(), labels
    )
    found = objective(logits, torch.tensor(labels, dtype=torch.int64))
    assert found.item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", BATCHES)
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    labels = torch.tensor(BATCHES[name], dtype=torch.int64)
    logits = random_logits(BATCHES[name])
    (gradient,) = torch.autograd.grad(NEAR(logits, labels), logits)
    assert gradient.isfinite().all()
    if len(labels):
        assert torch.autograd.gradcheck(lambda z: NEAR(z, labels), logits)


def test_images_within_their_margins_cost_nothing_but_cross_entropy() -> None:
    logits = torch.tensor([[30.0, 0.0], [0.0, 30.0], [1.0, 2.0]])  # energies -30, -30 and -2.3
    assert EnergyMargin()(logits, torch.tensor([0, 1, -1])).item() == pytest.approx(0, abs=1e-6)


def test_the_hinges_push_energies_apart_the_right_way() -> None:
    logits = torch.tensor(
        [[10.0, 0.0], [10.0, 0.0]], requires_grad=True
    )  # energies -10: too high for in, too low for out
    EnergyMargin()(logits, torch.tensor([0, -1])).backward()
    assert logits.grad is not None
    assert logits.grad[0, 0] == pytest.approx(
        -2 * 0.1 * 13, rel=1e-3
    )  # a step down the gradient lowers the in image's energy
    assert logits.grad[1, 0] == pytest.approx(2 * 0.1 * 5, rel=1e-3)  # and raises the out image's


def test_energy_of_one_class_is_minus_its_logit_at_any_temperature_and_large_logits_stay_finite() -> (
    None
):
    assert free_energy(torch.tensor([[5.0], [-2.0]]), temperature=7.0).tolist() == pytest.approx(
        [-5, 2]
    )
    assert free_energy(torch.tensor([[1e4, 1e4]])).item() == pytest.approx(-1e4 - math.log(2))


@pytest.mark.parametrize(
    "settings",
    [{"weight": -0.1}, {"temperature": 0.0}, {"in_margin": -5.0, "out_margin": -23.0}],
    ids=lambda s: next(iter(s)),
)
def test_settings_that_cannot_be_meant_are_errors(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected"):
        EnergyMargin(**settings)  # type: ignore[arg-type]


def test_settings() -> None:
    assert EnergyMargin().head_sizes(7) == {"logits": 7}
    found = json.loads(json.dumps(EnergyMargin().to_dict()))
    assert (found["name"], found["in_margin"], found["out_margin"], found["weight"]) == (
        "energy_margin",
        -23.0,
        -5.0,
        0.1,
    )
