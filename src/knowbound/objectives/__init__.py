"""What a backbone is trained for: which images go together in a batch, and a scalar from their
embeddings."""

from knowbound.objectives.confidence import ConfidenceLoss as ConfidenceLoss
from knowbound.objectives.contrastive import Contrastive as Contrastive
from knowbound.objectives.contrastive import contrastive_loss as contrastive_loss
from knowbound.objectives.cross_entropy import CrossEntropy as CrossEntropy
from knowbound.objectives.energy_margin import EnergyMargin as EnergyMargin
from knowbound.objectives.objective import Objective as Objective
from knowbound.objectives.outlier_exposure import OutlierExposure as OutlierExposure
