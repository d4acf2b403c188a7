"""Which detector a network can have, and the one of a name."""

from collections.abc import Collection

from knowbound.detectors import DETECTORS
from knowbound.detectors.detector import Detector
from knowbound.errors import UserError
from knowbound.outputs import Field


def detectors_for(outputs: Collection[Field]) -> tuple[str, ...]:
    """The detectors that a network can have.

    Args:
        outputs: what the network gives.

    Returns:
        Their names, in the order of ``DETECTORS``.
    """
    return tuple(name for name in DETECTORS if _readable(name, outputs))


def make_detector(name: str, outputs: Collection[Field]) -> Detector:
    """The detector of that name in its usual settings, for a network with these outputs.

    A detector with a choice reads the first output of its ``choices`` that the network has: the
    embedding of a metric network, the features under cross-entropy.

    Raises:
        UserError: an unknown name, or a detector that reads an output the network does not have.
    """
    if name not in DETECTORS:
        raise UserError(f"the detector {name!r} is unknown; expected one of {', '.join(DETECTORS)}")
    if not _readable(name, outputs):
        kind = DETECTORS[name]
        wanted = " or ".join(kind.choices) or " and ".join(kind.reads)
        raise UserError(
            f"the detector {name} reads {wanted}; this network gives {', '.join(outputs)}; take "
            f"one of {', '.join(detectors_for(outputs))}, or train with "
            f"{'cross-entropy (--objective ce)' if 'logits' in wanted else 'a metric loss'}"
        )
    kind = DETECTORS[name]
    chosen = next((field for field in kind.choices if field in outputs), None)
    detector: Detector = kind(reads=chosen) if chosen else kind()
    return detector


def _readable(name: str, outputs: Collection[Field]) -> bool:
    kind = DETECTORS[name]
    if kind.choices:
        return any(field in outputs for field in kind.choices)
    return all(field in outputs for field in kind.reads)
