"""What a network is trained for: which images go together in a batch, and a scalar from its outputs.
``OBJECTIVES`` has those that a user may name."""

from collections.abc import Mapping

from knowbound.objectives.angular import Angular as Angular
from knowbound.objectives.confidence import ConfidenceLoss as ConfidenceLoss
from knowbound.objectives.contrastive import Contrastive as Contrastive
from knowbound.objectives.contrastive import contrastive_loss as contrastive_loss
from knowbound.objectives.cross_entropy import CrossEntropy as CrossEntropy
from knowbound.objectives.energy_margin import EnergyMargin as EnergyMargin
from knowbound.objectives.histogram import Histogram as Histogram
from knowbound.objectives.lifted_structure import LiftedStructure as LiftedStructure
from knowbound.objectives.metric_learning import MetricLearning as MetricLearning
from knowbound.objectives.n_pair import NPair as NPair
from knowbound.objectives.objective import MetricObjective as MetricObjective
from knowbound.objectives.objective import Objective as Objective
from knowbound.objectives.outlier_exposure import OutlierExposure as OutlierExposure
from knowbound.objectives.ranking import Ranking as Ranking
from knowbound.objectives.semihard_triplet import SemihardTriplet as SemihardTriplet
from knowbound.objectives.triplet import Triplet as Triplet
from knowbound.objectives.two_heads import TwoHeads as TwoHeads

OBJECTIVES: Mapping[str, type[Objective]] = {
    "odm": Contrastive,
    "ml": Contrastive,
    "ce": CrossEntropy,
    "confidence": ConfidenceLoss,
    "oe": OutlierExposure,
    "two_heads": TwoHeads,
    "triplet": Triplet,
    "semihard_triplet": SemihardTriplet,
    "n_pair": NPair,
    "lifted_structure": LiftedStructure,
    "histogram": Histogram,
    "angular": Angular,
    "ranking": Ranking,
    "multi_similarity": MetricLearning,
}
"""As in ``knowbound.names.OBJECTIVES``."""
