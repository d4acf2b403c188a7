"""Kinds of values that many files exchange, each under one name."""

from collections.abc import Mapping
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
"""Numbers of any one kind, in any shape."""
DType: TypeAlias = np.dtype[Any]
"""The kind of an array's numbers."""
JsonObject: TypeAlias = dict[str, Any]
"""An object as JSON holds it: to be filled and written."""
JsonMapping: TypeAlias = Mapping[str, Any]
"""The same, to be read."""


class Pixels(Protocol):
    """Images of one shape that can be taken by index: an array in memory, or files decoded when
    asked for.

    Indexing by an integer array or a slice gives (B, C, H, W), uint8 in 0..255 or float32 in [0,
    1]; a NumPy array is one.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, C, H, W)."""

    @property
    def dtype(self) -> Any:
        """uint8 or float32."""

    def __getitem__(self, indices: Any, /) -> Any:
        """The images at ``indices``, in that order."""
