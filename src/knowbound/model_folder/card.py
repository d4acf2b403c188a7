"""A model's card: what it knows, what it learned from, what was measured, what it promises, how to
cite it.  Made from its description alone, without torch."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from knowbound.files import replace_file
from knowbound.judgement.acceptance_range import rounded_outwards
from knowbound.values import JsonMapping, JsonObject

CARD, FACTS = "card.md", "card.json"
SHOWN = 30
"""Classes that the card names in a line; all of them are in the facts."""
LOWEST = 10
"""Classes in the table of acceptance."""
CITATION = (
    "Marc Masana, Idoia Ruiz, Joan Serrat, Joost van de Weijer and Antonio M. Lopez: Metric "
    "Learning for Novelty and Anomaly Detection. British Machine Vision Conference (BMVC), 2018."
)
LIMITS = (
    "The promise holds for new pictures that are like the held-out ones: the same cameras, seasons "
    "and places. It says nothing of other pictures.",
    "How many unknown pictures are rejected is not promised. Measure it: `knowbound evaluate MODEL "
    "--known test/ --novelty NAME=DIR --anomaly NAME=DIR -o report`.",
    "Novelty or anomaly is the model's guess at the kind of an unknown picture. Kinds of pictures "
    "that it never saw can be on the wrong side.",
)


def card_facts(description: JsonMapping) -> JsonObject:
    """The card as JSON values.

    Args:
        description: of the model, as ``Boundary.describe`` gives it; what it lacks is None.
    """
    about: JsonMapping = description.get("about") or {}
    settings = about.get("settings") or {}
    return {
        "format": "knowbound-card",
        "format_version": 1,
        "knowbound": description.get("knowbound"),
        "knows": list(description.get("class_names", ())),
        "takes": description.get("preprocessing"),
        "network": _network(description.get("backbone") or {}),
        "detector": (description.get("detector") or {}).get("name"),
        "objective": about.get("objective"),
        "audition": settings.get("audition"),
        "learned_from": {
            "images": settings.get("images"),
            "belonging_together": settings.get("groups"),
            "outliers": settings.get("outliers"),
            "synthetic_outliers": (settings.get("synthetic_outliers") or {}).get("images"),
            "data_sha256": about.get("data_sha256"),
        },
        "trained": {
            name: about.get(name)
            for name in ("train_seconds", "train_images", "date", "version", "commit", "hardware")
        },
        "measured": about.get("measured"),
        "promise": description.get("promise"),
        "limits": list(LIMITS),
        "cite": CITATION,
    }


def card_text(facts: JsonMapping) -> str:
    """The card in Markdown.

    Args:
        facts: as ``card_facts`` gives them.
    """
    known = [_shown(name) for name in facts["knows"]]
    named = ", ".join(known[:SHOWN]) + (f" and {len(known) - SHOWN} more" if known[SHOWN:] else "")
    sections = (
        ("What it knows", [f"{len(known)} classes: {named}."]),
        ("What it learned from", _learned(facts)),
        ("What was measured", _measured(facts["measured"])),
        ("What it promises", [_promise(facts["promise"]), *_guide(facts["measured"])]),
        ("Its limits", [f"- {limit}" for limit in facts["limits"]]),
        ("How to cite", [facts["cite"]]),
    )
    parts = ["# Model card", "Says known (and which class), novelty or anomaly of a picture."]
    for heading, lines in sections:
        parts += [f"## {heading}", "\n".join(lines)]
    return "\n\n".join(parts) + "\n"


def write_card(folder: Path, description: JsonMapping) -> None:
    """Put ``card.md`` and ``card.json`` into a model's folder.

    They are for readers: a model is read and checked without them.

    Args:
        folder: of the model.
        description: of the model.

    Raises:
        UserError: the folder cannot be written.
    """
    facts = card_facts(description)
    text = json.dumps(facts, indent=2, ensure_ascii=False) + "\n"
    replace_file(folder / FACTS, text.encode())
    replace_file(folder / CARD, card_text(facts).encode())


def _network(backbone: JsonMapping) -> str | None:
    """The network's name; of an ensemble the number and the name of its members."""
    members = (backbone.get("settings") or {}).get("members")
    if not members:
        return backbone.get("name")
    kinds = sorted({member["name"] for member in members})
    return f"ensemble of {len(members)} {' and '.join(kinds)}"


def _learned(facts: JsonMapping) -> list[str]:
    learned, takes, trained = facts["learned_from"], facts["takes"] or {}, facts["trained"]
    lines = []
    if learned["images"]:
        lines.append(f"- {learned['images']:,} pictures of these classes.")
    if learned["belonging_together"]:
        lines.append(f"- Pictures that belong together: {learned['belonging_together']}.")
    if learned["outliers"]:
        lines.append(f"- {sum(learned['outliers']):,} pictures of other things, to stay away from.")
    made = sum(_numbers(learned["synthetic_outliers"]))
    if made:
        lines.append(f"- {made:,} outliers made from the pictures themselves.")
    if takes:
        colour = "colour" if takes.get("channels") == 3 else "grey"
        size = f"{takes.get('width')} x {takes.get('height')} pixels"
        lines.append(f"- Seen as {colour} images of {size}.")
    objective = facts["objective"] and str(facts["objective"]).upper()
    parts = ("network", facts["network"]), ("detector", facts["detector"]), ("objective", objective)
    how = [f"the {what} {name}" for what, name in parts if name]
    if how:
        lines.append(f"- With {', '.join(how)}.")
    if facts["audition"]:
        lines.append(f"- Tried on these pictures. {facts['audition']['reason']}")
    when = [
        f"{name} {trained[key]}"
        for name, key in (("on", "date"), ("by knowbound", "version"), ("commit", "commit"))
        if trained[key]
    ]
    if when:
        lines.append(f"- Trained {', '.join(when)}.")
    return lines or ["Nothing was noted."]


def _numbers(images: Any) -> list[int]:
    values = images.values() if isinstance(images, Mapping) else (images,)
    return [value for value in values if isinstance(value, int)]


def _measured(measured: JsonMapping | None) -> list[str]:
    if not measured:
        return ["Nothing was noted."]
    images = f"{measured['images']:,}"
    lines = [
        f"On {images} pictures, each left out in turn of a detector that did not learn from it (the "
        "model itself learned from all):"
        if measured.get("in_turn")
        else f"On the {images} held-out pictures, which it did not learn from:",
        "",
        f"- {_percent(measured['accuracy'])} get their class, nothing rejected; "
        f"{_percent(measured['accuracy_accepted'])} of the accepted ones.",
        f"- {_percent(measured['accepted'])} are accepted at the acceptance that it was trained for, "
        f"{_percent(measured['acceptance'])}. The threshold was set on them.",
        "",
        f"| least accepted of {len(measured['by_class'])} classes | pictures or groups | accepted |",
        "|---|---:|---:|",
    ]
    lowest = sorted(measured["by_class"].items(), key=lambda item: item[1]["accepted"])
    return lines + [
        f"| {_shown(name)} | {one['count']:,} | {_percent(one['accepted'])} |"
        for name, one in lowest[:LOWEST]
    ]


def _promise(promise: JsonMapping | None) -> str:
    if not promise:
        return "Nothing: it has no threshold yet."
    if promise.get("sentence"):
        said = str(promise["sentence"])
        return f"{said[:1].upper()}{said[1:]}."
    low, high = rounded_outwards(*promise["range"])
    return (
        f"Between {low} and {high} of new known pictures will be accepted "
        f"({promise['images']:,} held-out pictures)."
    )


def _guide(measured: JsonMapping | None) -> list[str]:
    """What weakens the promise of a model of few pictures."""
    if not measured or not measured.get("in_turn"):
        return []
    return [
        "",
        "The promise is a guide: each picture was left out in turn of a detector of its own, and "
        "the model learned from all of them. `--held-out 0.1` makes it exact, and wide.",
    ]


def _shown(name: str) -> str:
    """A class's name in a line or a table: control characters and bars as escapes."""
    plain = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(name))
    return plain.replace("|", "\\|")


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f}%"
