"""What is asked of the training images of any detector, and of what it learned from them."""

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from knowbound.errors import UserError

NAMED = 5
"""Images and classes that a message names at most."""
TRIED = 300
"""Training images that are scored to see whether the scores tell anything."""


def check_training(
    vectors: Tensor,
    labels: Tensor,
    *,
    detector: str,
    reads: str,
    least: int,
    class_names: Sequence[str] | None,
) -> None:
    """Nothing, where something can be learned from these training images.

    Args:
        vectors: (N, R) what the detector reads of them.
        labels: (N,) integers.
        detector: its name, for the message.
        reads: the outputs of the network that it reads, for the message.
        least: images that every class needs.
        class_names: of the classes 0..C-1, for the message.

    Raises:
        UserError: wrong shapes; a class with too few images; values that are not finite; images
            that the network does not tell apart.
    """
    if vectors.ndim != 2 or labels.shape != vectors.shape[:1] or labels.is_floating_point():
        raise UserError(
            f"{detector} was given vectors of shape {tuple(vectors.shape)} and labels of shape "
            f"{tuple(labels.shape)}, {labels.dtype}; expected (N, R) and N integers"
        )
    counts = count_classes(labels)
    too_few = (counts < least).nonzero().flatten().tolist()
    if too_few:
        raise UserError(
            f"{_classes(too_few, counts, class_names)}; {detector} needs at least {least} of each "
            "class: give more images, leave the class out, or take another detector"
        )
    strange = ~torch.isfinite(vectors).all(dim=1)
    if strange.any():
        affected = torch.bincount(labels[strange], minlength=len(counts))
        classes = affected.nonzero().flatten().tolist()
        raise UserError(
            f"of {len(labels)} training images {int(strange.sum())} have values that are not "
            f"finite in the network's {reads} ({_positions(strange)}; "
            f"{_classes(classes, affected, class_names)}): remove these images, or train again if "
            "the network gives such values for ordinary ones"
        )
    if _same(vectors):
        raise UserError(
            f"no two of {len(labels)} training images differ in the network's {reads}: the network "
            "tells nothing apart; train it again, or give images that differ"
        )


def check_learned(
    vectors: Tensor,
    labels: Tensor,
    *,
    detector: str,
    state: Iterable[tuple[str, Tensor]],
    score: Callable[[Tensor], Tensor],
) -> None:
    """Nothing, where what was learned is finite and its scores tell images apart.

    The scores are those of up to ``TRIED`` training images and of two vectors made from each of
    them that lie outside the classes: for some detectors all training images rightly score the same
    (of its own neighbours an image is the nearest), but then others do not.

    Args:
        vectors: (N, R) that were learned from, finite.
        labels: (N,).
        detector: its name, for the message.
        state: names and values of what was learned.
        score: (N, R) -> (N,).

    Raises:
        UserError: something learned is not finite, a training image has no finite score, or every
            image has the same score.
    """
    for name, value in state:
        if not torch.isfinite(value).all():
            raise UserError(
                f"{detector} learned {name} with values that are not finite from {len(labels)} "
                f"training images (largest value {vectors.abs().max().item():.3g}): the network's "
                "outputs are too large or too small to calculate with; train it again"
            )
    tried = vectors[:: -(-len(vectors) // TRIED)]
    own = score(tried)
    if not torch.isfinite(own).all():
        raise UserError(
            f"{detector} gives {int((~torch.isfinite(own)).sum())} of {len(own)} training images a "
            "score that is not finite: the network's outputs are too large or too small to "
            "calculate with; train it again"
        )
    scores = torch.cat([own, score(_strangers(tried))])
    scores = scores[torch.isfinite(scores)]
    if _same(scores[:, None]):
        raise UserError(
            f"{detector} gives every image the same score after learning from {len(labels)} "
            f"training images, {int(count_classes(labels).min())} of the smallest class: it would "
            "accept everything; give more and different images of each class, or take another "
            "detector"
        )


def check_scores(scores: Tensor, images: str = "held-out images") -> None:
    """Nothing, where a threshold can be set from the scores (N,) of these images.

    Raises:
        UserError: a score that is not finite, or all scores the same.
    """
    strange = ~torch.isfinite(scores)
    if strange.any():
        raise UserError(
            f"of {len(scores)} {images} {int(strange.sum())} have a score that is not finite "
            f"({_positions(strange)}): remove them, or train again if these are ordinary images"
        )
    if len(scores) > 1 and _same(scores[:, None]):
        raise UserError(
            f"all {len(scores)} {images} have the same score ({scores[0].item():.6g}), from which "
            "no threshold can be set: give images that differ from each other and from the "
            "training images"
        )


def count_classes(labels: Tensor) -> Tensor:
    """How many images each class 0..C-1 has, (C,).

    Raises:
        UserError: there is no image, a label below 0, or a class without an image.
    """
    if labels.numel() and int(labels.min()) < 0:
        raise UserError(
            f"{int((labels < 0).sum())} training images have a label below 0; expected a class "
            "0..C-1 for each"
        )
    counts = torch.bincount(labels)
    if not counts.numel() or bool((counts == 0).any()):
        raise UserError(
            f"classes have {counts.tolist()} training images; expected at least one for each class "
            "0..C-1"
        )
    return counts


def _same(vectors: Tensor) -> bool:
    """Whether all rows are the same but for rounding."""
    apart = vectors.amax(dim=0).double() - vectors.amin(dim=0).double()
    rounding = 4 * torch.finfo(vectors.dtype).eps * vectors.abs().amax(dim=0).double()
    return bool((apart <= rounding).all())


def _strangers(vectors: Tensor) -> Tensor:
    """(N, R) -> (2 N, R): three times as far out as each, and twice with exchanged features."""
    mean = vectors.double().mean(dim=0)
    centred = vectors.double() - mean
    moved = torch.cat([mean + 3 * centred, mean - 2 * centred.roll(1, dims=1)])
    return moved.to(vectors.dtype)


def _positions(chosen: Tensor) -> str:
    found = chosen.nonzero().flatten()
    more = ", ..." if len(found) > NAMED else ""
    return f"numbers {', '.join(map(str, found[:NAMED].tolist()))}{more}, counted from 0"


def _classes(classes: Sequence[int], counts: Tensor, names: Sequence[str] | None) -> str:
    parts = []
    for label in classes[:NAMED]:
        count, name = int(counts[label]), repr(names[label]) if names else str(label)
        parts.append(f"class {name} has {count} image{'' if count == 1 else 's'}")
    more = f" and {len(classes) - NAMED} classes more" if len(classes) > NAMED else ""
    return ", ".join(parts) + more
