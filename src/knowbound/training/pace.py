"""How a training computes: number format, memory order and compilation.

All three change the last digits of a network, so they follow from the settings and from what the
machine can do, never from a stopwatch: the same machine, settings and seed give the same bytes,
busy or idle.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from knowbound.outputs import Outputs
from knowbound.values import JsonObject

Precision = Literal["auto", "float32", "bf16"]
WORTH_COMPILING = 2000
"""Steps from which torch.compile, half a minute or more, is used on a GPU where nothing was
asked for."""


@dataclass(frozen=True)
class Pace:
    """precision: ``float32`` or ``bf16`` (autocast); channels_last: the memory order of images and
    weights; compile: or not."""

    precision: str = "float32"
    channels_last: bool = True
    compile: bool = False

    def to_dict(self) -> JsonObject:
        """As JSON values; ``Pace(**pace.to_dict())`` is the same pace."""
        return asdict(self)

    def __str__(self) -> str:
        order = "channels last" if self.channels_last else "channels first"
        return f"{self.precision}, {order}{', compiled' if self.compile else ''}"

    @property
    def memory_format(self) -> torch.memory_format:
        """The memory order of images."""
        return torch.channels_last if self.channels_last else torch.contiguous_format

    def model(self, network: nn.Module) -> Callable[[Tensor], Outputs]:
        """The network as it is to be called; compiled for each batch shape on its own.

        Args:
            network: the one that is trained.
        """
        if not self.compile:
            return network
        # networks of one class share a limit of compilations, after which a new one is not compiled
        torch.compiler.reset()
        called: Callable[[Tensor], Outputs] = torch.compile(network, dynamic=False)
        return called


def choose_pace(
    device: torch.device,
    steps: int,
    *,
    precision: Precision = "auto",
    channels_last: bool | None = None,
    compile: bool | None = None,
) -> Pace:
    """The pace of a training; given values are kept.

    Where nothing was asked for: bf16 on hardware that multiplies it, channels last, and
    torch.compile for long trainings on a GPU.

    Args:
        device: that it runs on.
        steps: of the training.
        precision: ``float32``, ``bf16`` or ``auto``.
        channels_last: the memory order of images and weights; None for the usual one.
        compile: whether to compile the network; None to decide by the steps.

    Raises:
        ValueError: another precision.
    """
    if compile is None:
        compile = device.type == "cuda" and steps >= WORTH_COMPILING
    return Pace(choose_precision(precision, device), channels_last is not False, compile)


def choose_precision(wanted: Precision, device: torch.device) -> str:
    """``bf16`` or ``float32``: what was asked for, or under ``auto`` bf16 where the hardware
    multiplies it.

    Raises:
        ValueError: another word.
    """
    if wanted not in ("auto", "float32", "bf16"):
        raise ValueError(f"the precision {wanted!r} was asked for; expected auto, float32 or bf16")
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    if device.type == "cpu":
        able = torch.cpu.get_capabilities()
        return "bf16" if able.get("amx_bf16") or able.get("avx512_bf16") else "float32"
    return "float32"
