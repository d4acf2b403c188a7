"""A training's state on disk: one safetensors file, replaced whole, so that a kill at any moment leaves a good one."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from knowbound.errors import UserError
from knowbound.files import replace_file

FORMAT = "knowbound-checkpoint-1"


def save_checkpoint(path: Path, step: int, backbone: nn.Module, optimizer: Optimizer, identity: Mapping[str, Any]) -> None:
    """Write the state after ``step`` steps; ``identity`` says which training it belongs to."""
    from safetensors.torch import save

    tensors = {f"backbone.{name}": value.contiguous() for name, value in backbone.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": torch.as_tensor(value).contiguous() for name, value in state.items()}
    metadata = {"format": FORMAT, "step": str(step), "identity": json.dumps(identity, sort_keys=True)}
    replace_file(path, save(tensors, metadata))


def load_checkpoint(path: Path, backbone: nn.Module, optimizer: Optimizer, identity: Mapping[str, Any]) -> int:
    """Put the saved state into the backbone and the optimizer; the number of steps already done, 0 without a file.

    Raises UserError for a damaged file, and for the checkpoint of another training, naming what differs.
    """
    from safetensors import SafetensorError, safe_open

    if not path.exists():
        return 0
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a dict)
    except (SafetensorError, OSError) as error:
        raise UserError(f"the checkpoint {path} cannot be read ({error}); remove it to start the training anew") from error
    _check(path, metadata, identity)
    backbone.load_state_dict({n.removeprefix("backbone."): t for n, t in tensors.items() if n.startswith("backbone.")})
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".", 2)
            like = parameters[int(index)]  # in the same memory order (channels last): the same sums in the same order
            value = torch.empty_like(like, dtype=tensor.dtype).copy_(tensor) if tensor.shape == like.shape else tensor
            state.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    return int(metadata["step"])


def _check(path: Path, metadata: Mapping[str, str], identity: Mapping[str, Any]) -> None:
    if metadata.get("format") != FORMAT:
        raise UserError(f"{path} has the format {metadata.get('format')!r}; expected {FORMAT!r}: remove it to start anew")
    saved = json.loads(metadata["identity"])
    wanted = json.loads(json.dumps(identity))
    differing = sorted(key for key in saved.keys() | wanted.keys() if saved.get(key) != wanted.get(key))
    if differing:
        listed = "; ".join(f"{key} was {saved.get(key)}, now {wanted.get(key)}" for key in differing)
        raise UserError(
            f"the checkpoint {path} belongs to another training ({listed}); give the same settings and images to resume, "
            "or leave out --resume to start anew"
        )
