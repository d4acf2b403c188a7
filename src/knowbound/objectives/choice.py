"""The objective of a name that a user gave; what cannot be is refused in a sentence."""

from collections.abc import Collection
from dataclasses import replace

from knowbound.errors import UserError
from knowbound.objectives import OBJECTIVES
from knowbound.objectives.batches import BalancedBatches
from knowbound.objectives.contrastive import Contrastive
from knowbound.objectives.objective import Objective
from knowbound.objectives.two_heads import TwoHeads
from knowbound.values import JsonObject

ONLY_WITH_OUTS = ("odm",)
"""Names that promise out-of-distribution images, though their class can do without."""
ONLY_WITHOUT_OUTS = ("ml",)
"""Names that promise none, though their class can learn from them."""


def make_objective(
    name: str, *, margin: float | None = None, dim: int | None = None, outs: bool = False
) -> Objective:
    """The objective of that name, in its usual settings but those that are given.

    Args:
        name: one of ``OBJECTIVES``.
        margin: of a loss that has one, above 0, in the loss's own unit; None: its default.
        dim: length of the embedding, 1 or more; None: the default.
        outs: whether there are out-of-distribution images to learn from.

    Raises:
        UserError: an unknown name, out-of-distribution images that the objective needs or cannot
            use, or a margin or a length that it does not have.
    """
    if name not in OBJECTIVES:
        raise UserError(
            f"the objective {name!r} is unknown; expected one of {', '.join(OBJECTIVES)}"
        )
    kind = OBJECTIVES[name]
    _check_outs(name, kind, outs)
    settings = {"margin": margin, "dim": dim}
    given: JsonObject = {setting: value for setting, value in settings.items() if value is not None}
    _check_settings(name, kind, given)
    return TwoHeads(metric=Contrastive(**given)) if kind is TwoHeads else kind(**given)


def with_batches(
    objective: Objective, batches: BalancedBatches, same_share: float | None
) -> Objective:
    """The objective with batches that suit a network, where it takes balanced ones; else as it is.

    Args:
        objective: in its usual settings.
        batches: the rule of the network's recipe.
        same_share: what same-class pairs weigh together in a contrastive loss, between 0 and 1;
            None: every pair weighs the same.
    """
    if not isinstance(objective.rule, BalancedBatches):
        return objective
    changes: JsonObject = {"rule": batches}
    if isinstance(objective, Contrastive):
        changes["same_share"] = same_share
    if isinstance(objective, TwoHeads) and isinstance(objective.metric, Contrastive):
        changes["metric"] = replace(objective.metric, same_share=same_share)
    return objective.changed(**changes)


def _check_outs(name: str, kind: type[Objective], outs: bool) -> None:
    needs_outs = kind.needs_outs or name in ONLY_WITH_OUTS
    uses_outs = kind.uses_outs and name not in ONLY_WITHOUT_OUTS
    if needs_outs and not outs:
        raise UserError(
            f"the objective {name} was asked for without outliers; give a folder of images "
            "of none of the classes with --outliers, or take --objective ml, which needs none"
        )
    if outs and not uses_outs:
        raise UserError(
            f"outliers were given, but the objective {name} learns from none; leave them "
            "out, or take --objective odm"
        )


def _check_settings(name: str, kind: type[Objective], given: Collection[str]) -> None:
    called = {"margin": "a margin", "dim": "the length of the embedding"}
    missing = [called[setting] for setting in given if setting not in _settings(kind)]
    if missing:
        able = [other for other, its in OBJECTIVES.items() if set(given) <= _settings(its)]
        raise UserError(
            f"{' and '.join(missing)} was given, but the objective {name} has no such setting; "
            f"leave it out, or take one of {', '.join(able)}"
        )


def _settings(kind: type[Objective]) -> set[str]:
    """The settings that an objective of this kind takes; for two heads, its metric loss."""
    return (Contrastive if kind is TwoHeads else kind).setting_names()
