"""What the rest of the package asks of a network."""

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from torch import Tensor


@runtime_checkable
class Backbone(Protocol):
    """An ``nn.Module`` from images to embeddings, in two steps.

    Every network here has these; of a network of your own only ``forward`` is needed, and its output then also
    serves as its features.
    """

    @property
    def settings(self) -> Mapping[str, Any]:
        """The constructor's arguments as JSON values: enough to build the network again before loading its weights."""

    def features(self, images: Tensor) -> Tensor:
        """(N, C, H, W) in [0, 1] -> (N, F): the activations before the last linear layer."""

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) in [0, 1] -> (N, D) embeddings; D = number of classes and the logits under cross-entropy."""
