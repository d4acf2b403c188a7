"""The pace is chosen by time, and only where there is something to gain."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import nn

from knowbound.backbones import LeNet
from knowbound.training import pace as module
from knowbound.training.pace import Pace, choose_pace, choose_precision, seconds_per_step

IMAGES = torch.rand(2, 1, 16, 16)
USUAL = Pace(choose_precision("auto", torch.device("cpu")))


def network() -> LeNet:
    return LeNet(3, height=16, width=16, hidden=4)


def clock(seconds: Callable[[Pace], float], seen: list[Pace]) -> Callable[..., float]:
    def timed(backbone: nn.Module, images: torch.Tensor, pace: Pace) -> float:
        seen.append(pace)
        return seconds(pace)

    return timed


def test_a_short_training_takes_the_usual_pace_after_one_timing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[Pace] = []
    monkeypatch.setattr(module, "seconds_per_step", clock(lambda pace: 0.01, seen))
    assert choose_pace(network(), IMAGES, 100) == USUAL
    assert seen == [USUAL]


def test_given_values_stay_and_nothing_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "seconds_per_step", clock(lambda pace: 1 / 0, []))
    chosen = choose_pace(
        network(), IMAGES, 10**6, precision="float32", channels_last=False, compile=False
    )
    assert chosen == Pace("float32", channels_last=False, compile=False)


def test_the_fastest_is_taken_one_choice_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Pace] = []
    monkeypatch.setattr(
        module,
        "seconds_per_step",
        clock(
            lambda p: 1.0 * (0.8 if not p.channels_last else 1) * (0.7 if p.compile else 1), seen
        ),
    )
    chosen = choose_pace(network(), IMAGES, 1000, precision="float32")
    assert chosen == Pace("float32", channels_last=False, compile=True)
    assert Pace("float32", channels_last=False, compile=True) in seen


def test_a_small_gain_is_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        module, "seconds_per_step", clock(lambda p: 0.97 if p != USUAL else 1.0, [])
    )
    assert choose_pace(network(), IMAGES, 1000) == USUAL


def test_compiling_is_tried_for_long_trainings_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "seconds_per_step", clock(lambda p: 0.1 if p.compile else 1.0, []))
    assert not choose_pace(network(), IMAGES, 299, precision="float32", channels_last=True).compile
    assert choose_pace(network(), IMAGES, 300, precision="float32", channels_last=True).compile


def test_every_network_of_a_long_table_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = []

    def backend(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> Callable[..., object]:
        compiled.append(graph)
        return graph.forward

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))
    for _ in range(12):  # torch stops after 8 of one class
        Pace(compile=True).model(network())(IMAGES)
    assert len(compiled) == 12


def test_without_a_compiler_there_is_no_compiling(monkeypatch: pytest.MonkeyPatch) -> None:
    def seconds(pace: Pace) -> float:
        if pace.compile:
            raise RuntimeError("no g++")
        return 1.0

    monkeypatch.setattr(module, "seconds_per_step", clock(seconds, []))
    assert not choose_pace(
        network(), IMAGES, 10**4, precision="float32", channels_last=True
    ).compile


def test_timing_changes_neither_the_network_nor_the_random_numbers() -> None:
    backbone = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Dropout(), nn.Flatten(), nn.Linear(4 * 14 * 14, 2)
    ).eval()
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    assert seconds_per_step(backbone, IMAGES, Pace()) > 0
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())
    assert all(weight.grad is None for weight in backbone.parameters())
    assert not backbone.training


def test_precision_asked_for_is_taken() -> None:
    assert choose_precision("bf16", torch.device("cpu")) == "bf16"
    assert choose_precision("auto", torch.device("cpu")) in ("bf16", "float32")
