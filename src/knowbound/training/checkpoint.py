"""A training's state on disk: one safetensors file, replaced whole, so that a kill at any moment
leaves a good one."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from knowbound.errors import UserError
from knowbound.files import replace_file
from knowbound.values import JsonMapping, JsonObject

FORMAT = "knowbound-checkpoint-2"


def save_checkpoint(
    path: Path,
    step: int,
    backbone: nn.Module,
    optimizer: Optimizer,
    identity: JsonMapping,
    pace: JsonMapping | None = None,
    spent: "Spent | None" = None,
) -> None:
    """Write the state of a training, replacing the file whole.

    Args:
        path: of the file; its folder is made.
        step: steps already done.
        backbone: whose weights are kept.
        optimizer: whose moments are kept.
        identity: which training it belongs to, as JSON values.
        pace: how it was computed, as JSON values.
        spent: what it took so far.

    Raises:
        UserError: the place cannot be written.
    """
    from safetensors.torch import save

    tensors = {
        f"backbone.{name}": value.contiguous() for name, value in backbone.state_dict().items()
    }
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {
            f"optimizer.{index}.{name}": torch.as_tensor(value).contiguous()
            for name, value in state.items()
        }
    metadata = {
        "format": FORMAT,
        "step": str(step),
        "identity": json.dumps(identity, sort_keys=True),
        "pace": json.dumps(dict(pace or {})),
        "spent": json.dumps(asdict(spent or Spent())),
    }
    replace_file(path, save(tensors, metadata))


@dataclass(frozen=True)
class Spent:
    """What a training took, all its runs together: seconds, images through the network, and the
    commits whose code ran it, in order."""

    seconds: float = 0.0
    images: int = 0
    commits: tuple[str, ...] = ()

    def and_also(self, seconds: float, images: int, commit: str | None = None) -> "Spent":
        """The same with what another run took.

        Args:
            seconds: of that run.
            images: through the network in it.
            commit: whose code it was; None where nobody knows.
        """
        new = () if commit is None or commit in self.commits else (commit,)
        return Spent(self.seconds + seconds, self.images + images, (*self.commits, *new))

    @classmethod
    def from_json(cls, text: str) -> "Spent":
        """What was written with ``asdict``.

        Args:
            text: JSON.
        """
        values = json.loads(text)
        return cls(**{**values, "commits": tuple(values.get("commits", ()))})


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What a file held.  step: steps already done; pace: how they were computed, to resume alike;
    spent: what they took."""

    step: int
    pace: JsonObject
    tensors: dict[str, Tensor]
    spent: Spent = Spent()

    def restore(self, backbone: nn.Module, optimizer: Optimizer) -> int:
        """Put the state into the backbone and the optimizer, which keep their memory order.

        Args:
            backbone: in the memory order it is to have.
            optimizer: fresh, of its parameters.

        Returns:
            The steps already done.
        """
        backbone.load_state_dict(
            {
                name.removeprefix("backbone."): value
                for name, value in self.tensors.items()
                if name.startswith("backbone.")
            }
        )
        parameters = [
            parameter for group in optimizer.param_groups for parameter in group["params"]
        ]
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in self.tensors.items():
            if name.startswith("optimizer."):
                _, index, key = name.split(".", 2)
                like = parameters[
                    int(index)
                ]  # in the same memory order (channels last): the same sums in the same order
                value = (
                    torch.empty_like(like, dtype=tensor.dtype).copy_(tensor)
                    if tensor.shape == like.shape
                    else tensor
                )
                state.setdefault(int(index), {})[key] = value
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
        return self.step


def read_checkpoint(path: Path, identity: JsonMapping) -> Checkpoint | None:
    """The state in a file.

    Args:
        path: of the file.
        identity: which training it must belong to, as JSON values.

    Returns:
        None without a file.

    Raises:
        UserError: a damaged file, or the checkpoint of another training; it names what differs.
    """
    from safetensors import SafetensorError, safe_open

    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a dict)
    except (SafetensorError, OSError) as error:
        raise UserError(
            f"the checkpoint {path} cannot be read ({error}); remove it to start the training again"
        ) from error
    _check(path, metadata, identity)
    spent = Spent.from_json(metadata.get("spent", "{}"))
    return Checkpoint(int(metadata["step"]), json.loads(metadata["pace"]), tensors, spent)


def _check(path: Path, metadata: Mapping[str, str], identity: JsonMapping) -> None:
    if metadata.get("format") != FORMAT:
        raise UserError(
            f"{path} has the format {metadata.get('format')!r}; expected {FORMAT!r}: remove it to "
            "start again"
        )
    saved = json.loads(metadata["identity"])
    wanted = json.loads(json.dumps(identity))
    differing = list(_differences("", saved, wanted))
    if differing:
        listed = "; ".join(differing)
        raise UserError(
            f"the checkpoint {path} belongs to another training ({listed}); give the same "
            "settings and images to resume, or leave out --resume to start again"
        )


def _differences(name: str, saved: Any, wanted: Any) -> Iterator[str]:
    """``training.steps was 400, now 500``, for each value of nested dictionaries that is not the
    same."""
    if isinstance(saved, dict) and isinstance(wanted, dict):
        for key in sorted(saved.keys() | wanted.keys()):
            yield from _differences(
                f"{name}.{key}" if name else key, saved.get(key), wanted.get(key)
            )
    elif saved != wanted:
        yield f"{name} was {saved}, now {wanted}"
