"""Which detector a trained network gets, measured on held-out images and on images that no training
showed it."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from knowbound.backbones import Backbone
from knowbound.boundary.batches import image_batches
from knowbound.building import Chosen
from knowbound.data.outs.exchanged import exchanged_patches
from knowbound.data.source import Source
from knowbound.detectors.choice import make_detector
from knowbound.detectors.detector import Detector
from knowbound.errors import UserError
from knowbound.metrics import auroc
from knowbound.outputs import Field, Outputs
from knowbound.values import JsonMapping

LEARNED = 6_000
"""Training images that the candidates learn from at most."""
JUDGED = 1_000
"""Known images at most, and images with exchanged patches."""
NOTE = "detector_choice"
"""The key of what is noted."""


def choose_detector(
    names: Sequence[str],
    outputs: tuple[Field, ...],
    network: Backbone,
    learned: Source,
    choosing: Source | None,
    *,
    seed: int = 0,
) -> Chosen:
    """The detector that best tells known images from the same images with patches exchanged.

    Patches are exchanged between classes.  Such images are made of known parts, and ``fit`` does
    not train on them, so they stand for the novelties that are not there.

    Args:
        names: of the detectors that come into question; of equal ones the first is taken.
        outputs: of the network.
        network: trained.
        learned: images that it was trained on, labels 0..C-1.
        choosing: others, of the same classes, that set no threshold: of two scores the one that is
            better on some images looks too good on them.  None: there are too few to spare any.
        seed: of the draws.

    Returns:
        A fresh detector, and a note of each one's AUROC in 0..1.  The first one, where there is no
        other, nothing to choose by, or one class alone in it.
    """
    if len(names) == 1:
        return Chosen(make_detector(names[0], outputs))
    if choosing is None or len(np.unique(choosing.labels)) < 2:
        return Chosen(make_detector(names[0], outputs), note={NOTE: {"taken": names[0]}})
    rng = np.random.default_rng([seed, 9])
    learned = _some_of_each(learned, rng, LEARNED)
    if len(choosing) > JUDGED:  # a small class stays: patches are exchanged between two
        choosing = _some_of_each(choosing, rng, JUDGED)
    exchanged = exchanged_patches(choosing, JUDGED, rng)
    given = [_outputs(network, source) for source in (learned, choosing, exchanged)]
    labels = torch.from_numpy(learned.labels)
    marks = {
        name: _mark(make_detector(name, outputs), given, labels, learned.class_names)
        for name in names
    }
    best = max(names, key=marks.__getitem__)
    note = {
        "taken": best,
        "images": len(choosing),
        "exchanged": len(exchanged),
        "auroc": marks,
    }
    return Chosen(make_detector(best, outputs), note={NOTE: note})


def describe_choice(settings: JsonMapping) -> str:
    """A sentence on what was measured, or nothing.

    Args:
        settings: of a model, with the note of ``choose_detector`` in it.
    """
    note = settings.get(NOTE)
    if not note:
        return ""
    if "auroc" not in note:
        return f"Detector: {note['taken']}; to choose another, too few images can be held out."
    told = ", ".join(f"{name} {share:.1%}" for name, share in note["auroc"].items())
    return (
        f"Detector: {note['taken']}. AUROC of {note['images']:,} further held-out images against "
        f"{note['exchanged']:,} made of parts of two classes: {told}."
    )


def _mark(
    detector: Detector, given: Sequence[Outputs], labels: Tensor, names: Sequence[str]
) -> float:
    """The AUROC; 0 for a detector that cannot learn from these images."""
    learned, known, exchanged = (detector.read(outputs) for outputs in given)
    try:
        detector.learn(learned, labels, names)
    except UserError:
        return 0.0
    inside, outside = (detector.score(v).double().numpy() for v in (known, exchanged))
    return float(auroc(inside, outside))


def _some_of_each(source: Source, rng: np.random.Generator, most: int) -> Source:
    """At most about ``most`` images, as many of each class as there are up to an equal share."""
    share = max(1, most // len(source.class_names))
    order = rng.permutation(len(source))
    own = (order[source.labels[order] == label] for label in range(len(source.class_names)))
    return source.take(np.sort(np.concatenate([positions[:share] for positions in own])))


@torch.no_grad()
def _outputs(network: Backbone, source: Source) -> Outputs:
    parts = [network(images, stages=True).float() for images in image_batches(network, source)]
    return Outputs(
        *(
            None if values[0] is None else torch.cat(values).cpu()
            for values in zip(*parts, strict=True)
        )
    )
