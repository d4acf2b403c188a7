"""How a training computes: number format, memory order and compilation, chosen by timing a few
steps of this very network."""

import copy
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

Precision = Literal["auto", "float32", "bf16"]
WORTH_TIMING = 60.0
"""Seconds of training under which nothing is timed: the usual pace is taken."""
WORTH_COMPILING = 300.0
"""Seconds of training under which torch.compile, half a minute or more, is not tried."""
GAIN = 0.95
"""What is tried must take at most this share of the time to be taken: timings on a busy machine
wobble."""
REPEATS = 3


@dataclass(frozen=True)
class Pace:
    """precision: ``float32`` or ``bf16`` (autocast); channels_last: the memory order of images and
    weights; compile: or not."""

    precision: str = "float32"
    channels_last: bool = True
    compile: bool = False

    def to_dict(self) -> dict[str, Any]:
        """As JSON values; ``Pace(**pace.to_dict())`` is the same pace."""
        return asdict(self)

    @property
    def memory_format(self) -> torch.memory_format:
        """The memory order of images."""
        return torch.channels_last if self.channels_last else torch.contiguous_format

    def model(self, network: nn.Module) -> Callable[[Tensor], Tensor]:
        """The network as it is to be called; compiled for each batch shape on its own."""
        if not self.compile:
            return network
        # networks of one class share a limit of compilations, after which a new one is not compiled
        torch.compiler.reset()
        called: Callable[[Tensor], Tensor] = torch.compile(network, dynamic=False)
        return called


def choose_pace(
    backbone: nn.Module,
    images: Tensor,
    steps: int,
    *,
    precision: Precision = "auto",
    channels_last: bool | None = None,
    compile: bool | None = None,
) -> Pace:
    """The fastest pace for ``steps`` steps of forward and backward on batches like ``images``;
    given values stay as they are.

    images: (B, C, H, W) on the device of the backbone, which is not changed (a copy is timed).
    Trainings of under a minute take channels last and no compilation untimed, and under five
    minutes compilation is not tried.  bf16 is tried only where the hardware multiplies it.
    """
    device = images.device
    able = choose_precision(precision, device)
    # bf16 stands until it is timed: on hardware that multiplies it, it is the usual choice
    pace = Pace(able, channels_last is not False, compile is True)
    free = (precision == "auto" and able == "bf16", channels_last is None, compile is None)
    if not any(free) or steps < 1:
        return pace
    taken = seconds_per_step(backbone, images, pace)
    if taken * steps < WORTH_TIMING:
        return pace
    tries = [replace(pace, precision="float32")] if free[0] else []
    tries += [replace(pace, channels_last=False)] if free[1] else []
    for other in tries:
        pace, taken = _faster(backbone, images, pace, taken, other)
    if free[2] and taken * steps >= WORTH_COMPILING:
        pace, taken = _faster(backbone, images, pace, taken, replace(pace, compile=True))
    return pace


def choose_precision(wanted: Precision, device: torch.device) -> str:
    """``bf16`` or ``float32``: what was asked for, or under ``auto`` bf16 where the hardware
    multiplies it."""
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    if device.type == "cpu":
        capabilities = torch.cpu.get_capabilities()
        return (
            "bf16" if capabilities.get("amx_bf16") or capabilities.get("avx512_bf16") else "float32"
        )
    return "float32"


def seconds_per_step(backbone: nn.Module, images: Tensor, pace: Pace) -> float:
    """Median seconds of a forward and backward pass of a copy of the backbone, after a first one
    that does not count."""
    network = copy.deepcopy(backbone).train().to(memory_format=pace.memory_format)  # type: ignore[call-overload]
    model, inputs = pace.model(network), images.to(memory_format=pace.memory_format)
    times = []
    with torch.random.fork_rng(devices=[images.device] if images.device.type == "cuda" else []):
        for _ in range(1 + REPEATS):
            started = time.perf_counter()
            with torch.autocast(
                images.device.type, torch.bfloat16, enabled=pace.precision == "bf16"
            ):
                outputs = model(inputs)
            outputs.float().square().mean().backward()
            if images.device.type == "cuda":
                torch.cuda.synchronize(images.device)
            times.append(time.perf_counter() - started)
    return statistics.median(times[1:])


def _faster(
    backbone: nn.Module, images: Tensor, pace: Pace, taken: float, other: Pace
) -> tuple[Pace, float]:
    try:
        seconds = seconds_per_step(backbone, images, other)
    except (
        Exception
    ):  # no compiler, or a network torch.compile cannot take: then it is not an option
        if not other.compile:
            raise
        return pace, taken
    return (other, seconds) if seconds <= GAIN * taken else (pace, taken)
