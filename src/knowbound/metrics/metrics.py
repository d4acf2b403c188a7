"""The five numbers of a table row."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Metrics:
    """How well one set of scores tells in from out.  Rates are fractions; NaN where a convention
    has no such number."""

    fpr95: float
    """Share of the out images accepted where 95% (or the asked share) of the in images are;
    ``openood`` turns the two around."""
    detection_error: float
    auroc: float
    aupr_in: float
    """In-distribution images are the positive ones."""
    aupr_out: float
    """Out images are the positive ones."""
    tie_share: float
    """Share of all images, in and out together, whose score another image has too."""
    threshold: float
    """The score where ``fpr95`` was taken; NaN where a convention takes it at no single one."""
