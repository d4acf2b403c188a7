"""Fitted on in-distribution embeddings; give a score and a class.  ``DETECTORS`` names those a
saved model may hold."""

from knowbound.detectors.centre_and_stages import CentreAndStages as CentreAndStages
from knowbound.detectors.detector import Detector as Detector
from knowbound.detectors.energy import Energy as Energy
from knowbound.detectors.extreme_value_signature import (
    ExtremeValueSignature as ExtremeValueSignature,
)
from knowbound.detectors.k_nearest import KNearest as KNearest
from knowbound.detectors.mahalanobis import Mahalanobis as Mahalanobis
from knowbound.detectors.mahalanobis import RelativeMahalanobis as RelativeMahalanobis
from knowbound.detectors.max_softmax import MaxSoftmax as MaxSoftmax
from knowbound.detectors.nearest_centre import NearestCentre as NearestCentre
from knowbound.detectors.null_space import NullSpace as NullSpace
from knowbound.detectors.odin import Odin as Odin
from knowbound.detectors.one_vs_set import OneVsSet as OneVsSet
from knowbound.detectors.openmax import OpenMax as OpenMax
from knowbound.detectors.relative_centre import RelativeCentre as RelativeCentre
from knowbound.detectors.stage_mahalanobis import StageMahalanobis as StageMahalanobis
from knowbound.detectors.two_heads import TwoHeads as TwoHeads
from knowbound.detectors.vim import Vim as Vim
from knowbound.values import JsonObject

DETECTORS: JsonObject = {
    "centre_and_stages": CentreAndStages,
    "energy": Energy,
    "extreme_value_signature": ExtremeValueSignature,
    "k_nearest": KNearest,
    "mahalanobis": Mahalanobis,
    "max_softmax": MaxSoftmax,
    "nearest_centre": NearestCentre,
    "null_space": NullSpace,
    "odin": Odin,
    "one_vs_set": OneVsSet,
    "openmax": OpenMax,
    "relative_centre": RelativeCentre,
    "relative_mahalanobis": RelativeMahalanobis,
    "stage_mahalanobis": StageMahalanobis,
    "two_heads": TwoHeads,
    "vim": Vim,
}
