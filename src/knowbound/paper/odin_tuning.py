"""ODIN's temperature and step, chosen on validation images: scores on a grid, the smallest FPR95
wins."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from knowbound.backbones import Backbone
from knowbound.boundary.batches import image_batches
from knowbound.data.source import Source
from knowbound.detectors.odin import Odin, gradient_sign
from knowbound.metrics import auroc, fpr_at_tpr

TEMPERATURES = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)
"""Of Liang et al., ICLR 2018."""
EPSILONS = tuple(round(0.0002 * i, 4) for i in range(21))
"""Theirs too: 21 values from 0 to 0.004."""
FEW_TEMPERATURES = (1.0, 10.0, 100.0, 1000.0)
FEW_EPSILONS = (0.0, 0.001, 0.002, 0.003, 0.004)
"""The default, a tenth of their grid from end to end: the full one costs a CPU ten times as
long."""


@dataclass(frozen=True)
class Tried:
    """One point of the grid with its FPR95 and AUROC against each out source, as fractions."""

    temperature: float
    epsilon: float
    fpr95: Mapping[str, float]
    auroc: Mapping[str, float]


@dataclass(frozen=True)
class OdinTuning:
    """Every point that was tried, temperatures first, and the one chosen of them."""

    grid: tuple[Tried, ...]
    chosen: Tried

    @property
    def detector(self) -> Odin:
        """ODIN with the chosen values; call ``fit`` before use, as of any detector."""
        return Odin(self.chosen.temperature, self.chosen.epsilon)

    def for_out_source(self, name: str) -> "OdinTuning":
        """The same grid with the values best for one out source, as if it had been the only one.

        Args:
            name: of the source.
        """
        grid = tuple(
            Tried(t.temperature, t.epsilon, {name: t.fpr95[name]}, {name: t.auroc[name]})
            for t in self.grid
        )
        return OdinTuning(grid, best_of(grid))


def tune_odin(
    backbone: Backbone,
    in_source: Source,
    out_sources: Sequence[Source],
    *,
    temperatures: Sequence[float] = FEW_TEMPERATURES,
    epsilons: Sequence[float] = FEW_EPSILONS,
) -> OdinTuning:
    """The temperature and epsilon with the smallest FPR95, in the mean over the out sources; equal
    ones by the larger AUROC.

    With one out source of the very kind of the test set this is how ODIN was published (values "per
    out set"); with several kinds it gives one detector for all.

    Args:
        backbone: gives logits; it is put into evaluation mode.
        in_source: in-distribution validation images, never those of a test.
        out_sources: others.
        temperatures: of the grid; ``TEMPERATURES`` is the full one of the paper.
        epsilons: of the grid; ``EPSILONS`` is the full one of the paper.

    Raises:
        ValueError: an empty grid, or no image.
    """
    if not temperatures or not epsilons or not out_sources:
        raise ValueError(
            f"ODIN was to be tuned with {len(temperatures)} temperatures and {len(epsilons)} "
            f"epsilons on {len(out_sources)} out sources; expected at least one of each"
        )
    inside = _scores(backbone, in_source, temperatures, epsilons)
    fpr: dict[tuple[float, float], dict[str, float]] = {point: {} for point in inside}
    area: dict[tuple[float, float], dict[str, float]] = {point: {} for point in inside}
    for source in out_sources:
        for point, scores in _scores(backbone, source, temperatures, epsilons).items():
            fpr[point][source.name] = fpr_at_tpr(inside[point], scores)
            area[point][source.name] = auroc(inside[point], scores)
    grid = tuple(Tried(*point, fpr[point], area[point]) for point in inside)
    return OdinTuning(grid, best_of(grid))


def best_of(grid: Sequence[Tried]) -> Tried:
    """The point with the smallest mean FPR95 over the out sets; of equal ones the largest AUROC.

    Args:
        grid: at least one point.
    """
    return min(grid, key=lambda tried: (mean(tried.fpr95.values()), -mean(tried.auroc.values())))


@torch.no_grad()
def _scores(
    backbone: Backbone, source: Source, temperatures: Sequence[float], epsilons: Sequence[float]
) -> dict[tuple[float, float], NDArray[np.float64]]:
    """(N,) scores of every (temperature, epsilon).  The unmoved images are embedded once, the
    gradient is one per temperature."""
    parts: dict[tuple[float, float], list[Tensor]] = {
        (t, e): [] for t in temperatures for e in epsilons
    }
    backbone.eval()
    for images in image_batches(backbone, source):
        unmoved = backbone(images).get("logits")
        for temperature in temperatures:
            sign = gradient_sign(backbone, images, temperature) if any(epsilons) else images
            for epsilon in epsilons:
                moved = images - epsilon * sign
                logits = backbone(moved).get("logits") if epsilon else unmoved
                parts[temperature, epsilon].append(Odin(temperature, epsilon).score(logits))
    return {
        point: torch.cat(scores).cpu().numpy() if scores else np.empty(0)
        for point, scores in parts.items()
    }
