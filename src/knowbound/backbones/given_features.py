"""Heads on features that are given, so that they are trained without the network that made them."""

from torch import Tensor

from knowbound.backbones.backbone import Backbone


class GivenFeatures(Backbone):
    """Outputs of images (N, 1, 1, F) whose only row holds the features of a frozen network.

    Such images are what ``data.feature_cache`` gives as the pixels of a ``Source``.  After training,
    ``network.heads.load_state_dict(given.heads.state_dict())`` puts the heads on the network.

    Args:
        embedding: length of the embedding, or None for no metric head.
        logits: number of classes, or None for no class head.
        width: F, the length of the features.
        unit_length: whether embeddings are scaled to length 1, as some losses compare them.
    """

    def __init__(
        self,
        embedding: int | None = None,
        logits: int | None = None,
        *,
        width: int,
        unit_length: bool = False,
    ) -> None:
        super().__init__()
        self.settings = {
            "embedding": embedding,
            "logits": logits,
            "width": width,
            "unit_length": unit_length,
        }
        self.add_heads(width, embedding, logits, unit_length)

    def activations(self, images: Tensor) -> tuple[list[Tensor], Tensor]:
        """(N, 1, 1, F) -> the features, as the only stage and as the features."""
        features = images.flatten(1)
        return [features], features
