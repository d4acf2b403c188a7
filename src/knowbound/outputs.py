"""What a network says of images: the one value that objectives and detectors read from."""

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

Head = Literal["embedding", "logits"]
"""What can stand on a network's features."""
Field = Literal["stages", "features", "embedding", "logits"]


class Outputs(NamedTuple):
    """The outputs of a network for N images; None where the network has no such head."""

    stages: "Tensor | None" = None
    """(N, S) pooled activations of every block, first block first; only where asked for."""
    features: "Tensor | None" = None
    """(N, F) activations before the heads."""
    embedding: "Tensor | None" = None
    """(N, D) of the metric head, not normalised."""
    logits: "Tensor | None" = None
    """(N, C) of the class head."""

    def get(self, field: str) -> "Tensor":
        """The output of that name.

        Raises:
            ValueError: the network has no such output.
        """
        value: Tensor | None = getattr(self, field)
        if value is None:
            has = [name for name, tensor in self._asdict().items() if tensor is not None]
            raise ValueError(f"the output {field!r} was asked for; this network gives {has}")
        return value

    @property
    def shown(self) -> "Tensor":
        """What a picture of the embedding shows: the embedding, else the logits, else the features.

        Raises:
            ValueError: the network gave none of them.
        """
        for name in ("embedding", "logits"):
            value: Tensor | None = getattr(self, name)
            if value is not None:
                return value
        return self.get("features")

    def float(self) -> "Outputs":
        """The same outputs in float32."""
        return Outputs(*(None if value is None else value.float() for value in self))
