"""A source of images -> batches on the device of a network, and what was said of them as one."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from knowbound.data.source import Source, to_unit_interval
from knowbound.judgement import Judgement, nothing_judged
from knowbound.values import Array

BATCH = 512
"""Images decoded, or on an accelerator judged, at once."""
CPU_BATCH = 64
"""Images judged at once on a CPU: larger batches no longer fit its caches and are reallocated for
every batch."""


def image_batches(network: nn.Module, source: Source) -> Iterator[Tensor]:
    """The images of a source on the device of a network, which is put into evaluation mode.

    Args:
        network: with at least one parameter.
        source: the images.

    Yields:
        (B, C, H, W) float32 in [0, 1].
    """
    device = next(network.parameters()).device
    network.eval()
    size = CPU_BATCH if device.type == "cpu" else BATCH
    for start in range(0, len(source), size):
        pixels = to_unit_interval(source.images(slice(start, start + size)))
        yield torch.from_numpy(pixels).to(device, memory_format=torch.channels_last)


def join(parts: Sequence[Judgement[Tensor]]) -> Judgement[Array]:
    """The judgements of the batches of some images as one, in arrays.

    Args:
        parts: of the batches, in order.
    """
    if not parts:
        return nothing_judged()
    columns = (torch.cat(column).cpu().numpy() for column in zip(*parts, strict=True))
    return Judgement(*columns)
