"""The part of the page that shows what another acceptance would do: numbers for the reader and for
the slider."""

import shlex
from collections.abc import Mapping

from knowbound.evidence import Evidence
from knowbound.labels import Decision
from knowbound.report.decisions import decision_rows
from knowbound.report.what_if import WhatIf, cheapest, cost_of, cost_sentence, three_way, what_if
from knowbound.values import JsonObject

PLURAL = {"known": "known", "novelty": "novelties", "anomaly": "anomalies"}
PLACE = "ACCEPTANCE"
"""In a command, where the acceptance goes."""


def panel(evidence: Evidence, model: str, costs: Mapping[str, float]) -> JsonObject:
    """What the template and the slider need.

    Args:
        evidence: of one model.
        model: the folder it is in; empty where it is in none.
        costs: of mistakes, as in ``cost_of``.

    Returns:
        ``rows``: the three-way confusion; ``slider``: the numbers of every acceptance as JSON
        values, or None where the p-values cannot tell; ``cost``: a sentence; ``costs`` in words.
    """
    found = what_if(evidence)
    return {
        "rows": _rows(evidence),
        "slider": None if found is None else _slider(evidence, found, costs),
        "command": _command(evidence, model),
        "cost": cost_sentence(evidence, costs) if costs else "",
        "costs": ", ".join(f"{name} {cost:g}" for name, cost in costs.items()),
    }


def _rows(evidence: Evidence) -> list[JsonObject]:
    """A row for each truth, and below it one for each of its sets where there are several.

    ``key`` is what the slider calls the row: the truth, or the number of the set.
    """
    sets = decision_rows(evidence)
    table = []
    for truth, counts in three_way(evidence, tuple(row.counts for row in sets)).items():
        mine = [(number, row) for number, row in enumerate(sets) if row.kind == truth]
        several = len(mine) > 1
        name = f"all {PLURAL[truth]}" if several else mine[0][1].name
        table.append({"key": truth, "name": name, "truth": truth, "counts": counts, "sum": True})
        if several:
            table += [
                {
                    "key": number,
                    "name": row.name,
                    "truth": truth,
                    "counts": list(row.counts),
                    "sum": False,
                }
                for number, row in mine
            ]
    return table


def _slider(evidence: Evidence, found: WhatIf, costs: Mapping[str, float]) -> JsonObject:
    sets = (evidence.in_set, *evidence.out_sets)
    settings = found.settings
    return {
        "own": found.own,
        "kinds": [str(judged.kind or Decision.KNOWN) for judged in sets],
        "acceptance": [setting.acceptance for setting in settings],
        "counts": [setting.counts for setting in settings],
        "right": [setting.right for setting in settings],
        "labelled": [setting.labelled for setting in settings],
        "cost": [cost_of(evidence, setting, costs) for setting in settings] if costs else None,
        "cheapest": cheapest(evidence, found, costs) if costs else None,
    }


def _command(evidence: Evidence, model: str) -> str:
    """What sets another acceptance: nothing is trained again where the model is in a folder."""
    if model:
        folder = shlex.quote(model)
        new = shlex.quote(f"{model.rstrip('/')}-{PLACE}")
        return f"knowbound adjust {folder} --acceptance {PLACE} -o {new}"
    variant = evidence.results[0].run.variant if evidence.results else ""
    detector = f" --detector {shlex.quote(variant)}" if variant else ""
    return f"knowbound fit DIR{detector} --acceptance {PLACE} -o MODEL"
