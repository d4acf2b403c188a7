"""Evidence -> one HTML file that needs nothing else: tables, decisions, scores, embeddings,
surprising images, provenance."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from knowbound.evidence import Evidence
from knowbound.files import replace_file
from knowbound.judgement.acceptance_range import rounded_outwards
from knowbound.report.decisions import class_accuracy
from knowbound.report.panel import panel
from knowbound.report.pictures import Shown, accepted_outs, confused_ins, most_novel, rejected_ins
from knowbound.report.plots import (
    cost_figure,
    embedding_scene,
    histogram_figure,
    risk_figure,
    roc_figure,
)
from knowbound.report.projection import Projection
from knowbound.report.scores import Histogram, histogram
from knowbound.report.summary import acceptance_by_class, summary, told_apart
from knowbound.report.table import HEADINGS, caption, table_lines
from knowbound.report.thumbnails import Sheets
from knowbound.result import Published
from knowbound.values import JsonMapping, JsonObject

if TYPE_CHECKING:
    from markupsafe import Markup

HOW_TO_READ = (
    "Each image gets a score: higher means further from everything the model learned. A score up "
    "to the threshold means known; the threshold was set on held-out images of the known classes, "
    "never on the test images below. Unknown images are novelties (related to the known classes) or "
    "anomalies (unrelated to them)."
)


WHOLE = 2
"""Models of which all groups of pictures are shown."""


def write_page(
    path: Path,
    title: str,
    evidence: Sequence[Evidence],
    *,
    published: Sequence[Published] = (),
    intro: str = "",
    notes: Sequence[str] = (),
    max_points: int = 400,
    costs: Mapping[str, float] | None = None,
    folders: Sequence[str] = (),
    in_words: int = 0,
) -> None:
    """Write the report on all models, one HTML file of 5 to 10 MB without any reference to the
    network.

    Args:
        path: of the file.
        title: of the page.
        evidence: of the models.
        published: printed numbers to stand beside ours.
        intro: what was trained; worked out from the evidence if empty.
        notes: more sentences for the header.
        max_points: most images of a set in a 3-D view.
        costs: of mistakes by names such as ``novelty-as-known``; none: costs are not shown.
        folders: of the models, in order; empty, or fewer, where a model is in none.
        in_words: which model the summary on top is of.

    Raises:
        UserError: it cannot be written.
    """
    names, sheets = _names(evidence), Sheets()
    places = [*folders, *[""] * len(evidence)]
    drawn, told = _drawn(evidence), min(in_words, len(evidence) - 1)
    page = {
        "title": title,
        "intro": intro or _intro(evidence),
        "words": (*summary(evidence[told]), *told_apart(evidence[told]))
        if len(evidence) and len(evidence[told].in_set)
        else (),
        "words_of": told,
        "how_to_read": HOW_TO_READ,
        "notes": notes,
        "headings": HEADINGS,
        "tables": _tables(evidence, published),
        "models": [
            {
                **_model(e, name, f"model-{i}", max_points),
                **_panel(e, f"model-{i}", places[i - 1], costs or {}),
                **_pictures(e, whole=i <= WHOLE),
                **(
                    _embedding(e, f"model-{i}", max_points, sheets)
                    if drawn[i - 1] == i - 1
                    else {"embedding": None, "same_embedding": names[drawn[i - 1]]}
                ),
            }
            for i, (e, name) in enumerate(zip(evidence, names, strict=True), 1)
        ],
    }
    page["sheets_json"] = script_json(sheets.sheets)
    write_template(path, "page.html.jinja", page)


def write_template(path: Path, template: str, values: JsonMapping) -> None:
    """Fill a template of this folder, everything escaped and with plotly.js put in once, and write
    it.

    Args:
        path: of the file.
        template: its name.
        values: for the template.

    Raises:
        UserError: it cannot be written.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    environment = Environment(
        loader=PackageLoader("knowbound.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    plotly = Markup(
        get_plotlyjs().replace("</script", "<\\/script")
    )  # plotly closes no script, but the next version might
    text = environment.get_template(template).render(
        **values, plotly=plotly, percent=percent, number=number
    )
    replace_file(path, text.encode("utf-8", "backslashreplace"))


def script_json(figure: Any) -> "Markup":
    """A figure as JSON that no browser takes for the end of a script, whatever the names in it are.

    Args:
        figure: JSON values.
    """
    from markupsafe import Markup

    text = json.dumps(figure, allow_nan=False, separators=(",", ":"))
    for character, code in (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026")):
        text = text.replace(character, code)
    return Markup(text)


def percent(share: float | None) -> str:
    """``98.25%``, or a dash for None."""
    return "–" if share is None else f"{100 * share:.2f}%"


def number(value: float) -> str:
    """Four significant digits."""
    return f"{value:.4g}"


def embedding_caption(project: Projection, max_points: int) -> str:
    """How the 3 coordinates came about and how many images are drawn.

    Args:
        project: from the embedding to them.
        max_points: of each set.
    """
    dim = len(project.mean)
    how = "The embedding's own coordinates" + (
        f" (it has {dim}; the rest are zero)." if dim < 3 else "."
    )
    if dim > 3:
        how = (
            f"The first three of {dim} principal components, fitted on the in-distribution test "
            f"images; they keep {percent(project.explained)} of their variance."
        )
    return f"{how} At most {max_points:,} images of each set are drawn, chosen at random."


def _model(evidence: Evidence, name: str, element_id: str, max_points: int) -> JsonObject:
    sets = (evidence.in_set, *evidence.out_sets)
    counted = histogram([judged.judgement.score for judged in sets], evidence.threshold)
    outs = ", ".join(out.name for out in evidence.out_sets) or "no out-of-distribution sets"
    figures = {"scores": histogram_figure(evidence, counted)}
    if evidence.out_sets:
        figures["roc"] = roc_figure(evidence)
    if _has_risk(evidence):
        figures["risk"] = risk_figure(evidence)
    return {
        "id": element_id,
        "name": name,
        "summary": _summary(evidence),
        "accepted": acceptance_by_class(evidence),
        "promise": evidence.promise["range"],
        "roc": bool(evidence.out_sets),
        "scores_alt": f"Histograms of the scores of {evidence.in_set.name} and of {outs}; the "
        "table of decisions has the counts.",
        "scores_caption": _scores_caption(counted),
        "roc_alt": f"ROC curves of {name} against {outs}; their areas are the AUROC in the table "
        "of results.",
        "risk": "risk" in figures,
        "settings": _settings(evidence),
        "figures": [
            (f"{element_id}-{key}-data", script_json(figure)) for key, figure in figures.items()
        ],
        "provenance": _provenance(evidence),
    }


def _embedding(evidence: Evidence, element_id: str, max_points: int, sheets: Sheets) -> JsonObject:
    project = Projection.fit(evidence.in_set.judgement.embedding)
    outs = ", ".join(out.name for out in evidence.out_sets) or "no out-of-distribution sets"
    figure = embedding_scene(evidence, project, max_points, sheets)
    return {
        "embedding": (f"{element_id}-embedding-data", script_json(figure)),
        "embedding_alt": f"3-D view of the embeddings of {evidence.in_set.name} and of {outs}.",
        "embedding_caption": embedding_caption(project, max_points),
    }


def _panel(
    evidence: Evidence, element_id: str, folder: str, costs: Mapping[str, float]
) -> JsonObject:
    told = panel(evidence, folder, costs)
    slider, scripts = told["slider"], []
    if slider:
        scripts.append((f"{element_id}-panel-data", script_json(slider)))
        if costs:
            figure = cost_figure(slider["acceptance"], slider["cost"], slider["own"])
            scripts.append((f"{element_id}-cost-data", script_json(figure)))
    return {"panel": told, "panel_scripts": scripts}


def _pictures(evidence: Evidence, *, whole: bool) -> JsonObject:
    """The pictures in groups; of a model far down the page fewer, so that the page stays small."""
    shown = Shown() if whole else Shown(groups=2, pictures=3, paths=20)
    return {
        "surprises": (
            (
                "Accepted, but from outside",
                accepted_outs(evidence, shown),
                _none_accepted(evidence),
            ),
            (
                "Rejected, but of a known class",
                rejected_ins(evidence, shown),
                "No test image of a known class was rejected.",
            ),
            (
                "Accepted as another class than their own",
                confused_ins(evidence, shown),
                "No accepted test image got another class than its own.",
            ),
            (
                "Most novel: rejected as novelty, the highest scores",
                most_novel(evidence, shown),
                "No unknown image was called a novelty.",
            ),
        ),
        "fewer": "" if whole else f"From the model number {WHOLE + 1} on fewer pictures are shown.",
    }


def _drawn(evidence: Sequence[Evidence]) -> list[int]:
    """For each model the first one with the same embedding, which is drawn once."""
    first = []
    for i, one in enumerate(evidence):
        mine = one.in_set.judgement.embedding
        same = (
            j
            for j in range(i)
            if evidence[j].in_set.name == one.in_set.name
            and [out.name for out in evidence[j].out_sets] == [out.name for out in one.out_sets]
            and np.array_equal(evidence[j].in_set.judgement.embedding, mine)
        )
        first.append(next(same, i))
    return first


def _has_risk(evidence: Evidence) -> bool:
    labelled = evidence.in_set.labels >= 0
    return bool(labelled.any()) and not np.isnan(evidence.in_set.judgement.score[labelled]).any()


def _settings(evidence: Evidence) -> list[tuple[str, str]]:
    """The settings that a reader asks for first, in words."""
    if not evidence.results:
        return []
    run, told = evidence.results[0].run, evidence.results[0].run.provenance
    rows = [
        ("Network", run.backbone),
        ("Detector", run.detector),
        ("Trained with", run.method + (f", {run.variant}" if run.variant else "")),
        ("Outliers shown in training", ", ".join(run.seen_out) or "none from a folder"),
        ("Images trained on", f"{run.train_images:,}, in {run.train_seconds:,.0f} s"),
        ("Seed", str(run.seed)),
        ("Version and commit", f"{told.get('version', '–')}, {told.get('commit') or 'no commit'}"),
        ("Measured", str(told.get("date", "–"))),
    ]
    return [(name, value) for name, value in rows if value]


def _tables(evidence: Sequence[Evidence], published: Sequence[Published]) -> list[JsonObject]:
    rows = [row for one in evidence for row in one.results]
    conventions = sorted(
        dict.fromkeys(row.convention for row in rows), key=lambda c: c != "exact"
    )  # exact first
    tables = []
    for convention in conventions:
        lines = table_lines(rows, published, convention=convention)
        tables.append(
            {
                "convention": convention,
                "lines": lines,
                "caption": caption(lines, published, convention),
            }
        )
    return tables


def _names(evidence: Sequence[Evidence]) -> list[str]:
    """Headings, all different: the method with its variant, then its seed, then its place where
    needed."""
    plain = [
        f"{e.method} ({e.results[0].run.variant})"
        if e.results and e.results[0].run.variant
        else e.method
        for e in evidence
    ]
    if len(set(plain)) < len(plain):
        plain = [
            f"{name}, seed {e.results[0].run.seed}" if e.results else name
            for name, e in zip(plain, evidence, strict=True)
        ]
    if len(set(plain)) < len(plain):
        plain = [f"{name}, model {i}" for i, name in enumerate(plain, 1)]
    return plain


def _intro(evidence: Sequence[Evidence]) -> str:
    if not evidence:
        return "No model was judged."
    classes = evidence[0].class_names
    shown = ", ".join(classes[:8]) + (f" and {len(classes) - 8} more" if len(classes) > 8 else "")
    methods = ", ".join(dict.fromkeys(e.method for e in evidence))
    networks = len({(e.method, e.results[0].run.seed if e.results else 0) for e in evidence})
    models = "One model" if networks == 1 else f"{networks} models"
    judged = "" if networks == len(evidence) else f", judged by {len(evidence)} detectors,"
    count = f"{len(classes)} class{'es' if len(classes) != 1 else ''}"
    return f"{models} ({methods}){judged} learned {count}: {shown}."


def _summary(evidence: Evidence) -> str:
    overall, among_known = class_accuracy(evidence)
    at = "one for each class" if np.isnan(evidence.threshold) else number(evidence.threshold)
    low, high = rounded_outwards(*evidence.promise["range"])
    threshold = (
        f"{at}, from an earlier version, which kept no held-out scores"
        if not evidence.promise["images"]
        else f"{at}, set on {evidence.promise['images']:,} held-out images so that between "
        f"{low} and {high} of new known images are accepted"
    )
    if overall is None:
        return f"Threshold: {threshold}."
    accepted = (
        "" if among_known is None else f" ({percent(among_known)} of those it said are known)"
    )
    return (
        f"{percent(overall)} of the test images get their class{accepted}. Threshold: {threshold}."
    )


def _scores_caption(counted: Histogram) -> str:
    clipped = []
    if counted.above:
        clipped.append(
            f"{counted.above:,} scores above {number(counted.edges[-1])} are counted in the last "
            "bar"
        )
    if counted.below:
        clipped.append(
            f"{counted.below:,} scores below {number(counted.edges[0])} are counted in the first "
            "bar"
        )
    note = (
        " The range is cut so that far scores do not hide the rest: " + " and ".join(clipped) + "."
        if clipped
        else ""
    )
    scale = " The score axis is logarithmic." if counted.logarithmic else ""
    return f"Number of images per score, all sets in the same bars. The dashed vertical line is the threshold.{scale}{note}"


def _none_accepted(evidence: Evidence) -> str:
    return (
        "No unknown image was accepted as known."
        if evidence.out_sets
        else "There are no unknown images."
    )


def _provenance(evidence: Evidence) -> str:
    if not evidence.results:
        return ""
    row = evidence.results[0]
    words = (
        "experiment",
        "scale",
        "method",
        "variant",
        "backbone",
        "detector",
        "in_dist",
        "split",
        "seed",
        "seen_out",
    )
    about = {word: getattr(row.run, word) for word in (*words, "train_seconds", "train_images")}
    told = {
        key: value for key, value in row.run.provenance.items() if key != "tie_share"
    }  # of one out set only
    return json.dumps({**about, **told}, indent=2, ensure_ascii=False, default=_plain_value)


def _plain_value(value: object) -> object:
    return value.item() if isinstance(value, np.generic) else str(value)
