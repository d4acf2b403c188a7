"""Fitted on in-distribution embeddings; give a score and a class.  ``DETECTORS`` names those a saved model may hold."""

from knowbound.detectors.detector import Detector as Detector
from knowbound.detectors.likeness import Likeness as Likeness
from knowbound.detectors.max_softmax import MaxSoftmax as MaxSoftmax
from knowbound.detectors.nearest_centre import NearestCentre as NearestCentre
from knowbound.detectors.odin import Odin as Odin

DETECTORS = {"max_softmax": MaxSoftmax, "nearest_centre": NearestCentre, "odin": Odin}
