"""Several networks as one: an ensemble (Lakshminarayanan et al., NeurIPS 2017), as wide as all of
them together."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from knowbound.backbones.backbone import Backbone
from knowbound.backbones.lenet import LeNet
from knowbound.backbones.vgg import VGG13
from knowbound.backbones.wide_resnet import WideResNet
from knowbound.outputs import Outputs

MEMBERS: dict[str, type[Backbone]] = {"lenet": LeNet, "vgg13": VGG13, "wide_resnet": WideResNet}
"""Networks that an ensemble can be of, by the names that a saved model may hold."""


class Ensemble(Backbone):
    """The outputs of every member side by side; of the logits their mean.

    The squared distance between two embeddings is then the sum of the members' squared distances:
    an image is near a class only if it is near for the members together.

    Args:
        members: of each network its name in ``MEMBERS`` and its settings.

    Raises:
        ValueError: no member, one of an unknown kind, or members with other heads than the first.
    """

    def __init__(self, members: Sequence[Mapping[str, Any]]) -> None:
        super().__init__()
        unknown = [member["name"] for member in members if member["name"] not in MEMBERS]
        if not members or unknown:
            raise ValueError(
                f"an ensemble of {unknown or 'no network'} was asked for; expected networks of "
                f"{sorted(MEMBERS)}"
            )
        self.settings = {"members": [dict(member) for member in members]}
        self.members = nn.ModuleList(
            MEMBERS[member["name"]](**member["settings"]) for member in members
        )
        heads = [tuple(network.heads) for network in self._networks]
        if len(set(heads)) > 1:
            raise ValueError(
                f"networks with the heads {heads} were put together; expected the same"
            )
        self.heads = nn.ModuleDict({name: _Together(self._networks, name) for name in heads[0]})

    @classmethod
    def of(cls, networks: Sequence[Backbone]) -> Self:
        """The ensemble of some networks, with their weights copied.

        Args:
            networks: of the kinds in ``MEMBERS``.

        Raises:
            ValueError: as the constructor does.
        """
        names = {kind: name for name, kind in MEMBERS.items()}
        members = [
            {"name": names.get(type(network), type(network).__name__), "settings": network.settings}
            for network in networks
        ]
        ensemble = cls(members)
        for member, network in zip(ensemble.members, networks, strict=True):
            member.load_state_dict(network.state_dict())
        return ensemble.to(next(networks[-1].parameters()).device).train(networks[-1].training)

    @property
    def _networks(self) -> list[Backbone]:
        return [network for network in self.members if isinstance(network, Backbone)]

    def activations(self, images: Tensor) -> tuple[list[Tensor], Tensor]:
        """The outputs of every block of every member, and their features side by side.

        Args:
            images: (N, C, H, W) in [0, 1].

        Returns:
            Maps or vectors, one for each block of each member, and features (N, sum of F).
        """
        given = [network.activations(images) for network in self._networks]
        blocks = [block for own, _ in given for block in own]
        return blocks, torch.cat([features for _, features in given], dim=1)

    def forward(self, images: Tensor, stages: bool = False) -> Outputs:
        """The members' stages, features and embeddings side by side, and the mean of their logits.

        Args:
            images: (N, C, H, W) in [0, 1].
            stages: whether to give the pooled activations too.
        """
        columns = zip(*(network(images, stages=stages) for network in self._networks), strict=True)
        given = {
            name: _joined(name, values)
            for name, values in zip(Outputs._fields, columns, strict=True)
            if values[0] is not None
        }
        return Outputs(**given)


class _Together(nn.Module):
    """The heads of one name of all members, on the features of the ensemble."""

    def __init__(self, networks: list[Backbone], name: str) -> None:
        super().__init__()
        self.name, self.networks = name, networks  # in a list: their weights are the members' own

    def forward(self, features: Tensor) -> Tensor:
        """(N, sum of F) -> what the members' heads give side by side, or the mean of logits."""
        heads = [network.heads[self.name] for network in self.networks]
        widths = [head.get_parameter("weight").shape[1] for head in heads]
        parts = zip(heads, features.split(widths, dim=1), strict=True)
        return _joined(self.name, [head(own) for head, own in parts])


def _joined(name: str, values: Sequence[Tensor]) -> Tensor:
    if name == "logits":
        return torch.stack(list(values)).mean(dim=0)
    return torch.cat(list(values), dim=1)
