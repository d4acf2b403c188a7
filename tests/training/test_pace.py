"""The pace follows from settings and hardware alone, and compiling serves every network of a table."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch

from knowbound.backbones import LeNet
from knowbound.training.pace import WORTH_COMPILING, Pace, choose_pace, choose_precision

CPU, GPU = torch.device("cpu"), torch.device("cuda")
IMAGES = torch.rand(2, 1, 16, 16)


def network() -> LeNet:
    return LeNet(embedding=3, height=16, width=16, hidden=4)


@pytest.mark.parametrize(
    ("able", "expected"),
    [
        ({"amx_bf16": True}, "bf16"),
        ({"avx512_bf16": True}, "bf16"),
        ({"avx512_bf16": False, "avx2": True}, "float32"),
        ({}, "float32"),
    ],
)
def test_a_cpu_takes_bf16_where_it_multiplies_it(
    able: dict[str, bool], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    assert choose_precision("auto", CPU) == expected
    assert choose_pace(CPU, 10**6) == Pace(expected, channels_last=True, compile=False)


@pytest.mark.parametrize("able", [True, False])
def test_a_gpu_takes_bf16_where_it_multiplies_it_and_compiles_long_trainings(
    able: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def supported(*, including_emulation: bool) -> bool:
        assert not including_emulation
        return able

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    precision = "bf16" if able else "float32"
    assert choose_pace(GPU, WORTH_COMPILING - 1) == Pace(precision)
    assert choose_pace(GPU, WORTH_COMPILING) == Pace(precision, compile=True)


def test_other_hardware_computes_in_float32() -> None:
    assert choose_pace(torch.device("mps"), 10**6) == Pace("float32")


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("device", [CPU, GPU])
@pytest.mark.parametrize("choice", [True, False])
def test_given_values_stay(precision: Any, device: torch.device, choice: bool) -> None:
    chosen = choose_pace(
        device, 10**6, precision=precision, channels_last=choice, compile=not choice
    )
    assert chosen == Pace(precision, channels_last=choice, compile=not choice)


def test_another_precision_is_refused() -> None:
    with pytest.raises(ValueError, match="'fp16' was asked for; expected auto, float32 or bf16"):
        choose_precision("fp16", CPU)  # type: ignore[arg-type]


def test_the_same_machine_and_settings_give_the_same_pace_again() -> None:
    assert len({choose_pace(CPU, 1400) for _ in range(5)}) == 1


def test_a_pace_is_json_and_said_in_words() -> None:
    pace = Pace("bf16", channels_last=False, compile=True)
    assert Pace(**pace.to_dict()) == pace
    assert str(pace) == "bf16, channels first, compiled"
    assert str(Pace()) == "float32, channels last"
    assert (Pace().memory_format, pace.memory_format) == (
        torch.channels_last,
        torch.contiguous_format,
    )


def test_every_network_of_a_long_table_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = []

    def backend(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> Callable[..., object]:
        compiled.append(graph)
        return graph.forward

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))
    for _ in range(12):  # torch stops after 8 of one class
        Pace(compile=True).model(network())(IMAGES)
    assert len(compiled) == 12
