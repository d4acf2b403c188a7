"""The parts of a boundary as they are saved: by name and settings, never as code."""

from typing import Any

import torch
from torch import nn

from knowbound.backbones import Backbone, OwnNetwork
from knowbound.boundary.domain import Domain, PlainDomain
from knowbound.boundary.likeness import Likeness
from knowbound.errors import UserError
from knowbound.values import JsonMapping, JsonObject

DOMAINS: dict[str, type[Domain] | type[Likeness]] = {
    kind.name: kind for kind in (Domain, PlainDomain, Likeness)
}
"""By the names that a saved model may hold: today's, that of earlier models of format 2, and format
1's image statistics."""


def make_domain(name: str) -> Domain | Likeness:
    """The domain score of that name, not yet learned.

    Args:
        name: that a saved model holds.

    Raises:
        KeyError: this version has none of that name.
    """
    return DOMAINS[name]()


def own_network(backbone: Backbone) -> nn.Module:
    """The network that was given: one of the user's own is wrapped.

    Args:
        backbone: of a boundary.
    """
    return backbone.network if isinstance(backbone, OwnNetwork) else backbone


def described(part: nn.Module, settings: JsonMapping, table: JsonMapping) -> JsonObject:
    """The name of a part and its settings, as JSON values.

    Args:
        part: a network or a detector.
        settings: that it was made with.
        table: the kinds that can be saved, by name.

    Raises:
        UserError: the part is of none of these kinds.
    """
    for name, kind in table.items():
        if type(part) is kind:
            return {"name": name, "settings": dict(settings)}
    raise UserError(
        f"{type(part).__name__} cannot be saved: loading must not run unknown code, so only "
        f"{sorted(table)} can be; save its state_dict yourself"
    )


def part_of(found: JsonMapping, table: JsonMapping, kind: str) -> Any:
    """The part that ``described`` described, with fresh weights.

    Args:
        found: its name and settings.
        table: the kinds there are, by name.
        kind: what it is, for the error.

    Raises:
        ValueError: this version has none of that name.
    """
    if found["name"] not in table:
        raise ValueError(
            f"the {kind} {found['name']!r} is unknown; this version has {sorted(table)}"
        )
    return table[found["name"]](**found["settings"])


def resize_buffer(module: nn.Module, name: str, shape: torch.Size) -> None:
    """Give a buffer that fitting sizes the shape that was saved; anything else stays as it is.

    Args:
        module: that holds it.
        name: with the parts in which it is, separated by dots.
        shape: that was saved.
    """
    owner, _, last = name.rpartition(".")
    part = module.get_submodule(owner)
    buffer = dict(part.named_buffers(recurse=False)).get(last)
    if buffer is not None and buffer.shape != shape:
        part.register_buffer(last, buffer.new_empty(shape))
