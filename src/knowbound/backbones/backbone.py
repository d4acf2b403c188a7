"""A network: images -> ``Outputs``.  The base of every network here, and a coat for one of yours."""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal, Self

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from knowbound.outputs import Field, Head, Outputs
from knowbound.values import JsonObject

Depth = Literal["last", "all"]
"""How much of a network is fine-tuned: its last layers, or all of it."""


@dataclass(frozen=True, eq=False)
class Halves:
    """A network in two parts, of which the second is fine-tuned.

    Attributes:
        before: from images (N, C, H, W) in [0, 1] to what the second part is given.
        after: from that to the features (N, F).
        tuned: the modules of the second part.
    """

    before: Callable[[Tensor], Tensor]
    after: Callable[[Tensor], Tensor]
    tuned: tuple[nn.Module, ...]


class Backbone(nn.Module):
    """Activations of blocks, then features, then one linear layer for each head.

    A subclass calls ``super().__init__()``, builds its blocks, sets ``settings`` and calls
    ``add_heads`` last, so that fresh weights are drawn in this order.
    """

    settings: JsonObject
    """The constructor's arguments as JSON values: enough to build the network again."""
    heads: nn.ModuleDict
    unit_length: bool = False
    """Whether embeddings are scaled to Euclidean length 1."""
    poolings: ClassVar[tuple[str, ...]] = ()
    """The ways of pooling that its features can be asked of; empty where there is one alone."""
    depths: ClassVar[tuple[Depth, ...]] = ()
    """How much of it can be fine-tuned; empty where it has no published weights."""

    def halves(self, depth: Depth) -> Halves:
        """The network in two parts, of which the second is fine-tuned.

        Args:
            depth: one of ``depths``.

        Raises:
            ValueError: a network that cannot be fine-tuned so.
        """
        raise ValueError(f"{type(self).__name__} cannot be fine-tuned; it has no published weights")

    def pooled_by(self, pooling: str) -> Self:
        """The same network, with the same weights, whose features are pooled in another way.

        Args:
            pooling: one of ``poolings``.

        Raises:
            ValueError: a network without such a choice.
        """
        raise ValueError(f"{type(self).__name__} has no pooling {pooling!r}; it has one alone")

    def with_all_poolings(self) -> Self:
        """The same network, with the same weights, whose features are pooled in every way it has,
        side by side in the order of ``poolings``; itself where there is one way alone."""
        return self

    def features_of(self, features: Tensor) -> Tensor:
        """The network's own features.

        Args:
            features: those of ``with_all_poolings``.
        """
        return features

    def add_heads(
        self,
        width: int,
        embedding: int | None,
        logits: int | None,
        unit_length: bool = False,
    ) -> None:
        """Put linear layers on features of ``width`` numbers.

        Args:
            width: F, the length of the features.
            embedding: D, the length of the embedding; None for no metric head.
            logits: C, the number of classes; None for no class head.
            unit_length: whether embeddings are scaled to Euclidean length 1.

        Raises:
            ValueError: embeddings of length 1 without a metric head.
        """
        if unit_length and embedding is None:
            raise ValueError("embeddings of length 1 were asked for without a length of embeddings")
        self.unit_length = unit_length
        sizes: dict[Head, int | None] = {"embedding": embedding, "logits": logits}
        self.heads = nn.ModuleDict(
            {name: nn.Linear(width, size) for name, size in sizes.items() if size is not None}
        )

    @property
    def shows(self) -> Field:
        """The output that ``Outputs.shown`` is: the embedding, else the logits, else the
        features."""
        fields: tuple[Field, ...] = ("embedding", "logits")
        return next((field for field in fields if field in self.heads), "features")

    @abstractmethod
    def activations(self, images: Tensor) -> tuple[list[Tensor], Tensor]:
        """The outputs of every block, first to last, and the features.

        Args:
            images: (N, C, H, W) in [0, 1].

        Returns:
            Maps (N, channels, h, w) or vectors (N, width), one for each block, and features (N, F).
        """

    def forward(self, images: Tensor, stages: bool = False) -> Outputs:
        """The network's outputs.

        Args:
            images: (N, C, H, W) in [0, 1].
            stages: whether to give the pooled activations too; training does without.
        """
        blocks, features = self.activations(images)
        pooled = torch.cat([pool(block) for block in blocks], dim=1) if stages else None
        given: dict[str, Tensor] = {name: head(features) for name, head in self.heads.items()}
        if self.unit_length:
            given["embedding"] = normalize(given["embedding"], dim=1)
        return Outputs(pooled, features, **given)


class OwnNetwork(Backbone):
    """A network of your own, whose one output is the head that was asked for, and its features."""

    def __init__(self, network: nn.Module, head: Head) -> None:
        super().__init__()
        self.network, self.head = network, head
        self.settings = {}
        self.heads = nn.ModuleDict({head: nn.Identity()})

    def activations(self, images: Tensor) -> tuple[list[Tensor], Tensor]:
        """Its output as the only block and as the features.

        Args:
            images: as the network takes them.

        Returns:
            [(N, D)] and (N, D).
        """
        output: Tensor = self.network(images)
        return [output], output

    def forward(self, images: Tensor, stages: bool = False) -> Outputs:
        """The network's output under the head's name, and as features; or the ``Outputs`` it gives.

        The features are the stages too, where it gives none.

        Args:
            images: as the network takes them.
            stages: whether to give stages too.
        """
        given: Tensor | Outputs = self.network(images)
        outputs = (
            given if isinstance(given, Outputs) else Outputs(features=given, **{self.head: given})
        )
        if not stages or outputs.stages is not None:
            return outputs
        return outputs._replace(
            stages=outputs.shown if outputs.features is None else outputs.features
        )


def as_backbone(network: nn.Module, head: Head) -> Backbone:
    """The network itself if it is a ``Backbone``, else wrapped as one.

    Args:
        network: a module that gives one tensor (N, D), or ``Outputs``.
        head: what to call its output.
    """
    return network if isinstance(network, Backbone) else OwnNetwork(network, head)


def pool(block: Tensor) -> Tensor:
    """The mean of each map over the picture; vectors as they are.

    Args:
        block: (N, channels, h, w) or (N, width).

    Returns:
        (N, channels) or (N, width).
    """
    return block.mean(dim=(2, 3)) if block.ndim == 4 else block
