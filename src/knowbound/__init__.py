"""Image classifiers that know where their knowledge ends."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from knowbound._version import __version__ as __version__

if TYPE_CHECKING:
    from knowbound.boundary.boundary import Boundary as Boundary
    from knowbound.errors import UserError as UserError
    from knowbound.judgement import Verdict as Verdict
    from knowbound.labels import OUT as OUT
    from knowbound.labels import Decision as Decision
    from knowbound.labels import Kind as Kind
    from knowbound.objectives import Contrastive as Contrastive
    from knowbound.objectives import CrossEntropy as CrossEntropy
    from knowbound.objectives import contrastive_loss as contrastive_loss
    from knowbound.workflows.evaluate import evaluate as evaluate
    from knowbound.workflows.fit import fit as fit

_HOME = {
    "Boundary": "boundary",
    "UserError": "errors",
    "evaluate": "workflows.evaluate",
    "fit": "workflows.fit",
    "OUT": "labels",
    "Decision": "labels",
    "Kind": "labels",
    "Verdict": "judgement",
    "Contrastive": "objectives",
    "CrossEntropy": "objectives",
    "contrastive_loss": "objectives",
}
__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> Any:
    """Public names are imported when first used, so that ``import knowbound`` is quick and needs no
    torch."""
    if name not in _HOME:
        raise AttributeError(f"module 'knowbound' has no attribute {name!r}")
    return getattr(import_module(f"knowbound.{_HOME[name]}"), name)
