"""What the rest of the package asks of a detector, declared as data and asked for here alone."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from knowbound.detectors.learning import check_learned, check_training, count_classes
from knowbound.outputs import Field, Outputs
from knowbound.values import JsonObject

Network = Callable[[Tensor], Outputs]
"""A network in evaluation mode, as ``prepare`` sees it."""


class Detector(nn.Module):
    """The base of every detector.

    A subclass calls ``super().__init__(...)``, keeps what it learns in buffers, and has ``fit``,
    ``score`` and ``classify``.  All three take what ``read`` gives: vectors (N, R), the outputs
    named in ``reads`` side by side.  ``learn`` is ``fit`` with every check around it: of the images
    before, of what was learned after.
    """

    reads: tuple[Field, ...] = ("embedding",)
    """The outputs of the network it is given."""
    choices: ClassVar[tuple[Field, ...]] = ()
    """The outputs it can read one of, the first by default; empty where there is no choice."""
    moves_images: ClassVar[bool] = False
    """Whether ``prepare`` changes images by a gradient of the network: then it cannot be exported,
    and takes a pass of its own over the images."""
    least_images: ClassVar[int] = 1
    """Training images that it needs of every class."""
    scale_free: ClassVar[bool] = False
    """Whether the order of its scores is the same whatever unit each single feature has."""
    settings: JsonObject
    """The constructor's arguments as JSON values."""
    widths: tuple[int, ...] = ()
    """How many columns each output had that ``read`` last put side by side."""

    def __init__(self, settings: JsonObject | None = None, reads: Field | None = None) -> None:
        """Note the settings, and the output to read where there is a choice.

        Raises:
            ValueError: an output it cannot read.
        """
        super().__init__()
        self.settings = dict(settings or {})
        if reads is not None:
            if reads not in self.choices:
                expected = " or ".join(map(repr, self.choices))
                raise ValueError(f"the output {reads!r} was to be read; expected {expected}")
            self.reads = (reads,)
            self.settings["reads"] = reads

    def read(self, outputs: Outputs) -> Tensor:
        """What it is given of the network's outputs: (N, R), the outputs it reads side by side.

        Args:
            outputs: of N images.

        Raises:
            ValueError: the network has no such output.
        """
        values = [outputs.get(field) for field in self.reads]
        self.widths = tuple(value.shape[1] for value in values)
        return values[0] if len(values) == 1 else torch.cat(values, dim=1)

    def prepare(self, network: Network, images: Tensor) -> Tensor:
        """The images as the network is to see them when they are judged; as they are.

        Args:
            network: in evaluation mode.
            images: (N, C, H, W) float32 in [0, 1].

        Returns:
            (N, C, H, W) float32 in [0, 1].
        """
        del network
        return images

    def centres_in(self, field: Field) -> Tensor | None:
        """The class centres that the score measures from, where they lie among the network's
        outputs of this name; a detector without such centres has none.

        Args:
            field: the output that a picture of the embedding shows.

        Returns:
            (C, D) centres in the unit of that output, or None.
        """
        del field
        return None

    @torch.no_grad()
    def learn(
        self, vectors: Tensor, labels: Tensor, class_names: Sequence[str] | None = None
    ) -> Self:
        """Fit on training images; the detector itself, whose scores are finite and tell images
        apart.

        Args:
            vectors: (N, R) of in-distribution training images, as ``read`` gives them.
            labels: (N,) in 0..C-1, every class present.
            class_names: of the classes, for messages.

        Raises:
            UserError: images whose values are not finite, classes with too few images, images that
                do not differ, or scores that say nothing.  The sentence names images and classes.
        """
        name = type(self).__name__
        check_training(
            vectors,
            labels,
            detector=name,
            reads=" and ".join(self.reads),
            least=self.least_images,
            class_names=class_names,
        )
        self.fit(vectors, labels)
        check_learned(vectors, labels, detector=name, state=self.named_buffers(), score=self.score)
        return self

    @abstractmethod
    def fit(self, vectors: Tensor, labels: Tensor) -> Self:
        """Learn from training images.

        Args:
            vectors: (N, R) of in-distribution training images.
            labels: (N,) in 0..C-1, every class present.

        Raises:
            ValueError: nothing can be learned from them.
        """

    @abstractmethod
    def score(self, vectors: Tensor) -> Tensor:
        """How far from in-distribution each image is.

        Args:
            vectors: (N, R), as ``read`` gives them.

        Returns:
            (N,) scores, higher = more out-of-distribution.
        """

    @abstractmethod
    def classify(self, vectors: Tensor) -> Tensor:
        """The class that each image is taken for.

        Args:
            vectors: (N, R).

        Returns:
            (N,) int64, in 0..C-1.
        """


def class_means(vectors: Tensor, labels: Tensor) -> Tensor:
    """Mean vector of each class.

    Args:
        vectors: (N, R).
        labels: (N,) in 0..C-1.

    Returns:
        (C, R) float64.

    Raises:
        ValueError: a class of 0..C-1 has no image.
    """
    counts = count_classes(labels)
    size = (len(counts), vectors.shape[1])
    sums = torch.zeros(size, dtype=torch.float64, device=vectors.device)
    sums.index_add_(0, labels, vectors.double())
    return sums / counts[:, None]


def fields_of(detectors: Sequence[Detector]) -> set[Field]:
    """Every output that some detector reads."""
    return {field for detector in detectors for field in detector.reads}
