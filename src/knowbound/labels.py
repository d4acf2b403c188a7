"""The words every part shares: the label of an out image, the two kinds of out images, and what is
said of an image."""

from enum import StrEnum

OUT = -1
"""Label of every out-of-distribution image; in-distribution labels are 0..C-1.  Code tests ``labels
< 0``."""


class Kind(StrEnum):
    """What an out set is, declared by the split (Section 3.3 of the paper)."""

    NOVELTY = "novelty"
    """Related to the in-distribution classes: another digit, another traffic sign."""
    ANOMALY = "anomaly"
    """Unrelated to them: noise, background patches, another kind of object."""


class Decision(StrEnum):
    """What a model says of one image."""

    KNOWN = "known"
    NOVELTY = "novelty"
    ANOMALY = "anomaly"
