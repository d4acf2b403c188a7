"""The class from one head, the score from the other (end of Section 4.1)."""

from torch import Tensor

from knowbound.detectors.centre_and_stages import CentreAndStages


class TwoHeads(CentreAndStages):
    """Scores an image as ``CentreAndStages`` does and takes it for the class of its largest logit.

    For networks trained with both heads: the class head knows its classes best, and the distances
    know where they end.  The unit of single features of the embedding matters, as there.
    """

    reads = ("stages", "embedding", "logits")

    def classify(self, vectors: Tensor) -> Tensor:
        """The class of the largest logit.

        Args:
            vectors: (N, S + D + C).

        Returns:
            (N,) int64, in 0..C-1.
        """
        return vectors[:, -len(self.centre.centres) :].argmax(dim=1)
