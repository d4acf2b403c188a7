"""What is saved and shipped: a network, a detector and thresholds in one module.  Images in,
verdicts out."""

from knowbound.boundary.boundary import Boundary as Boundary
