"""Fingerprints of pictures as they are kept in a model: one int64 each."""

from collections.abc import Sequence

import torch
from torch import Tensor


def packed(digests: Sequence[str]) -> Tensor:
    """Fingerprints as numbers: (N,) int64, in rising order, each once.

    Args:
        digests: of sixteen hexadecimal digits each.
    """
    return torch.tensor(
        [int(digest, 16) - 2**63 for digest in sorted(set(digests))], dtype=torch.int64
    )


def unpacked(numbers: Tensor) -> list[str]:
    """The fingerprints that ``packed`` packed.

    Args:
        numbers: (N,) int64.
    """
    return [f"{number + 2**63:016x}" for number in numbers.tolist()]
