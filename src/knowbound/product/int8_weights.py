"""The weights of a network in an ONNX graph, in one byte each."""

from collections.abc import Set
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from knowbound.errors import UserError

LEAST = 256
"""Numbers of a weight from which on it is worth it."""
LARGEST = 127
MOST = 0.5
"""Share of the network's weights that are found at least."""
PREFIX = "boundary.backbone."
"""Of the network's weights; what a detector or a threshold rests on stays as it is."""


def round_weights(model: Any, onnx: Any, network: nn.Module) -> None:
    """Replace the weights of convolutions and linear layers by whole numbers of -127 to 127, with a
    scale for each output channel; the arithmetic stays float32.

    Args:
        model: an ``onnx.ModelProto``, changed in place.
        onnx: the package.
        network: whose weights they are.  The exporter turns and renames those of linear layers, so
            they are known by their values.

    Raises:
        UserError: most of the network's weights were not found.
    """
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    turned = {
        weight.detach().T.contiguous().numpy().tobytes()
        for weight in network.parameters()
        if weight.ndim == 2
    }
    named = {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}
    ours = {name for name, values in named.items() if values.tobytes() in turned}
    axes = _axes(model.graph, ours)
    added, rounded = [], 0
    for tensor in list(model.graph.initializer):
        if tensor.name not in axes:
            continue
        values = named[tensor.name]
        if values.dtype != np.float32 or values.size < LEAST:
            continue
        axis = axes[tensor.name]
        whole, scale = rounded_by_channel(values, axis)
        name = tensor.name
        model.graph.initializer.remove(tensor)
        model.graph.initializer.extend(
            [
                numpy_helper.from_array(whole, f"{name}.int8"),
                numpy_helper.from_array(scale, f"{name}.scale"),
            ]
        )
        added.append(
            helper.make_node(
                "DequantizeLinear", [f"{name}.int8", f"{name}.scale"], [name], axis=axis
            )
        )
        rounded += values.size
    nodes = [*added, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    total = sum(w.numel() for w in network.parameters() if w.ndim > 1 and w.numel() >= LEAST)
    if rounded < MOST * total:
        raise UserError(
            f"only {rounded:,} of the network's {total:,} weights can be kept in one byte each; "
            "export without --int8"
        )


def rounded_by_channel(
    values: NDArray[np.float32], axis: int
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Whole numbers, and a scale (C,) for each channel, of which the product is nearest to values.

    Args:
        values: of any shape.
        axis: of the C channels.
    """
    others = tuple(one for one in range(values.ndim) if one != axis)
    largest = np.abs(values).max(axis=others, keepdims=True)
    scale = np.where(largest > 0, largest / LARGEST, 1).astype(np.float32)
    return np.rint(values / scale).astype(np.int8), scale.reshape(-1)


def _axes(graph: Any, ours: Set[str]) -> dict[str, int]:
    """The axis of the output channels of every weight of the network; ours: those that are known
    by their values."""
    axes = {}
    for node in graph.node:
        if node.op_type not in ("Conv", "Gemm", "MatMul") or not (
            node.input[1].startswith(PREFIX) or node.input[1] in ours
        ):
            continue
        turned = any(one.name == "transB" and one.i for one in node.attribute)
        axes[node.input[1]] = 0 if node.op_type == "Conv" or turned else 1
    return axes
