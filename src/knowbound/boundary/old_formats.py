"""Models written by earlier versions, as this version would have written them."""

from torch import Tensor, arange, float64, ones, tensor, zeros

from knowbound.boundary.threshold import Threshold
from knowbound.values import JsonObject

LOGIT_OBJECTIVES = ("ce", "confidence", "oe")
"""Objectives whose single output was the logits of the classes, in format 1."""


def _threshold(threshold: Tensor, description: JsonObject) -> dict[str, Tensor]:
    """The state of a ``Threshold`` whose only held-out score is the threshold itself."""
    acceptance = float(description["acceptance"])
    fitted = Threshold(len(description["class_names"]))
    if not threshold.isnan():
        fitted.fit(threshold.repeat(1), zeros(1).long(), acceptance=0.5)
        fitted.levels = ones(1).double() - acceptance
        fitted.acceptance = tensor(acceptance, dtype=float64)
        fitted.images = zeros(1).long()
    return {f"threshold.{name}": value for name, value in fitted.state_dict().items()}


def _renamed(name: str, head: str) -> str:
    return name.replace("backbone.embed.", f"backbone.heads.{head}.").replace(
        "likeness.", "domain."
    )


def from_version_1(
    description: JsonObject, tensors: dict[str, Tensor]
) -> tuple[JsonObject, dict[str, Tensor]]:
    """A model of format 1 in the words of format 2.

    Its network had one output, called after the objective here.  It kept a threshold and no
    held-out scores: its p-values are 1 where an image is known and the least possible elsewhere.
    It promises nothing.

    Args:
        description: of format 1.
        tensors: its weights, by the names of that time.

    Returns:
        Both as format 2 has them.
    """
    logits = description["about"].get("objective") in LOGIT_OBJECTIVES
    head = "logits" if logits else "embedding"
    backbone, detector = dict(description["backbone"]), dict(description["detector"])
    settings = dict(backbone["settings"])
    settings[head] = settings.pop("dim")
    reads = detector["settings"].get("reads")
    if reads or detector["name"] == "nearest_centre":  # which had no choice but the output
        field = "features" if reads == "features" else head
        detector["settings"] = {**detector["settings"], "reads": field}
    renamed = {
        _renamed(name, head): tensor
        for name, tensor in tensors.items()
        if name not in ("detector.classes", "detector.softmax.classes")
    }
    renamed |= dict.fromkeys(("learned_pictures", "shown_pictures"), zeros(0).long())
    if detector["name"] == "k_nearest":
        renamed["detector.ranks"] = arange(int(detector["settings"]["k"]))
    renamed |= _threshold(renamed.pop("threshold"), description)
    backbone["settings"] = settings
    parts = {"backbone": backbone, "detector": detector, "domain": "image statistics"}
    return {**description, **parts}, renamed
