"""Kinds of values that many files exchange, each under one name."""

from collections.abc import Mapping
from typing import Any, TypeAlias

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
