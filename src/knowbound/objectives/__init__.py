"""What a network is trained for: which images go together in a batch, and a scalar from its outputs.
``OBJECTIVES`` has those that a user may name."""

from collections.abc import Mapping

from knowbound.objectives.confidence import ConfidenceLoss as ConfidenceLoss
from knowbound.objectives.contrastive import Contrastive as Contrastive
from knowbound.objectives.contrastive import contrastive_loss as contrastive_loss
from knowbound.objectives.cross_entropy import CrossEntropy as CrossEntropy
from knowbound.objectives.energy_margin import EnergyMargin as EnergyMargin
from knowbound.objectives.objective import MetricObjective as MetricObjective
from knowbound.objectives.objective import Objective as Objective
from knowbound.objectives.outlier_exposure import OutlierExposure as OutlierExposure

OBJECTIVES: Mapping[str, type[Objective]] = {
    "odm": Contrastive,
    "ml": Contrastive,
    "ce": CrossEntropy,
    "confidence": ConfidenceLoss,
    "oe": OutlierExposure,
}
"""As in ``knowbound.names.OBJECTIVES``."""
