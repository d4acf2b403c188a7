"""Evidence -> plotly figures as plain dictionaries; the page gives them its colours for text and
lines."""

from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knowbound.evidence import Evidence, JudgedSet
from knowbound.metrics.risk_coverage import risk_coverage
from knowbound.report.pictures import class_name
from knowbound.report.projection import Array, Projection, sample
from knowbound.report.scores import Histogram, roc_curve, thin
from knowbound.report.thumbnails import Sheets

Figure = dict[str, Any]
Indices = NDArray[np.int64]
Tiles = list[list[int]] | None
"""Of each point its sheet and its place on it; None where there is no thumbnail."""

# After Okabe and Ito, moved to a middle brightness so that each is legible on white and on black.
IN_COLOUR = "#3987c9"
OUT_COLOURS = ("#d98200", "#1f9e77", "#c65a9b", "#d1553a", "#8d6bd0", "#8a8f98", "#a8891a")
CLASS_COLOURS = (
    "#3987c9",
    "#8d6bd0",
    "#2fb0c7",
    "#c65a9b",
    "#5c6bc0",
    "#1f9e77",
    "#b0703c",
    "#7d9c2f",
    "#d1553a",
    "#8a8f98",
    "#a8891a",
    "#4aa3a2",
)
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
OUT_SYMBOLS = {
    "diamond": 2.5,
    "cross": 4,
    "square-open": 3.5,
    "x": 3.5,
    "diamond-open": 3.5,
    "circle-open": 3.5,
}
"""With the sizes at which they look equally large."""
INK = "ink"
"""Stands for the page's text colour, which the page puts in."""
MOST_CLASSES_NAMED = len(CLASS_COLOURS)


def histogram_figure(evidence: Evidence, counted: Histogram) -> Figure:
    """The score histograms of all sets, with the threshold as a line; sets differ by colour and by
    dash.

    Args:
        evidence: of one model.
        counted: its scores in bins.
    """
    sets = (evidence.in_set, *evidence.out_sets)
    traces = []
    for judged, counts, colour, dash in zip(
        sets, counted.counts, _colours(len(sets)), cycle(DASHES)
    ):
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": _set_name(judged),
                "fill": "tozeroy",
                "fillcolor": f"{colour}26",
                "line": {"shape": "hv", "width": 2, "color": colour, "dash": dash},
                "x": _rounded(counted.edges),
                "y": [*counts.tolist(), int(counts[-1])],
                "hovertemplate": "from score %{x}: %{y} images<extra>%{fullData.name}</extra>",
            }
        )
    layout: Figure = {
        "xaxis": {
            "title": {"text": "score (higher = further out)"},
            "range": _rounded(counted.edges[[0, -1]]),
        },
        "yaxis": {"title": {"text": "images"}, "rangemode": "tozero"},
    }
    # plotly wants a line on a logarithmic axis where it is, its range and its labels in powers of
    # ten
    at = evidence.threshold
    if counted.logarithmic:
        layout["xaxis"] |= {
            "type": "log",
            "range": np.log10(counted.edges[[0, -1]]).tolist(),
            "exponentformat": "power",
        }
        at = float(np.log10(at))
    if np.isfinite(evidence.threshold):
        layout["shapes"] = [
            {
                "type": "line",
                "x0": evidence.threshold,
                "x1": evidence.threshold,
                "yref": "paper",
                "y0": 0,
                "y1": 1,
            }
        ]
        layout["annotations"] = [
            {"text": "known ← threshold", "x": at, "yref": "paper", "y": 1, "yanchor": "bottom"}
        ]
    return {"data": traces, "layout": layout}


def roc_figure(evidence: Evidence, at_most: int = 400) -> Figure:
    """One ROC curve per out set, in-distribution as the positive.

    Args:
        evidence: of one model.
        at_most: corners of a curve.
    """
    colours = _colours(len(evidence.out_sets) + 1)[1:]
    diagonal = {
        "type": "scatter",
        "mode": "lines",
        "x": [0, 1],
        "y": [0, 1],
        "showlegend": False,
        "hoverinfo": "skip",
        "line": {"width": 1, "color": "#8a8f98", "dash": "dot"},
    }
    traces: list[Figure] = [diagonal]
    for out, colour, dash in zip(
        evidence.out_sets, colours, islice(cycle(DASHES), 1, None), strict=False
    ):
        if not len(out.judgement.score) or not len(evidence.in_set.judgement.score):
            continue
        x, y = thin(*roc_curve(evidence.in_set.judgement.score, out.judgement.score), at_most)
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": _set_name(out),
                "x": _rounded(x),
                "y": _rounded(y),
                "line": {"width": 2, "color": colour, "dash": dash},
                "hovertemplate": "accepts %{y:.2%} of in, %{x:.2%} of "
                "out<extra>%{fullData.name}</extra>",
            }
        )
    axis = {"range": [-0.01, 1.01], "tickformat": ".0%"}
    return {
        "data": traces,
        "layout": {
            "xaxis": {**axis, "title": {"text": "share of unknown images accepted"}},
            "yaxis": {**axis, "title": {"text": "share of known images accepted"}},
        },
    }


def risk_figure(evidence: Evidence, at_most: int = 400) -> Figure:
    """The share of accepted in-distribution images with the wrong class, against the share
    accepted, and where the model stands.

    Args:
        evidence: of one model, with labelled in-distribution images whose scores are numbers.
        at_most: corners of the curve.
    """
    inside = evidence.in_set
    labelled = inside.labels >= 0
    correct = (inside.judgement.nearest == inside.labels)[labelled]
    curve = risk_coverage(inside.judgement.score[labelled], correct)
    evenly = np.linspace(0, len(curve.risk) - 1, at_most).round().astype(np.int64)
    x, y = curve.coverage[np.unique(evenly)], curve.risk[np.unique(evenly)]
    known = (inside.judgement.decision == 0)[labelled]
    traces: list[Figure] = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": "every threshold",
            "x": _rounded(x),
            "y": _rounded(y),
            "line": {"width": 2, "color": IN_COLOUR},
            "hovertemplate": "accepts %{x:.2%}, of these %{y:.2%} wrong<extra></extra>",
        }
    ]
    if known.any():
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": "the model",
                "x": _rounded(np.array([known.mean()])),
                "y": _rounded(np.array([1 - correct[known].mean()])),
                "marker": {"size": 11, "color": INK, "symbol": "diamond"},
                "hovertemplate": "the model accepts %{x:.2%}, of these %{y:.2%} "
                "wrong<extra></extra>",
            }
        )
    return {
        "data": traces,
        "layout": {
            "xaxis": {
                "range": [-0.01, 1.01],
                "tickformat": ".0%",
                "title": {"text": "share of known images accepted"},
            },
            "yaxis": {
                "range": [0, max(0.01, 1.1 * float(np.max(y)))],
                "tickformat": ".1%",
                "title": {"text": "wrong class among them"},
            },
        },
    }


def cost_figure(acceptances: Sequence[float], costs: Sequence[float], own: int) -> Figure:
    """The cost of 1,000 images at every acceptance, with the model's own marked.

    Args:
        acceptances: in rising order.
        costs: of each, on average per image.
        own: index of the model's.
    """
    x, y = _rounded(np.array(acceptances)), _rounded(1000 * np.array(costs))
    return {
        "data": [
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": "every acceptance",
                "x": x,
                "y": y,
                "line": {"width": 2, "color": IN_COLOUR, "shape": "spline", "smoothing": 0},
                "marker": {"size": 4},
                "hovertemplate": "acceptance %{x:.2%}: %{y:.4~g}<extra></extra>",
            },
            {
                "type": "scatter",
                "mode": "markers",
                "name": "the model",
                "x": [x[own]],
                "y": [y[own]],
                "marker": {"size": 11, "color": INK, "symbol": "diamond"},
                "hovertemplate": "the model, %{x:.2%}: %{y:.4~g}<extra></extra>",
            },
        ],
        "layout": {
            "xaxis": {"tickformat": ".0%", "title": {"text": "acceptance"}},
            "yaxis": {"rangemode": "tozero", "title": {"text": "cost of 1,000 images"}},
        },
    }


def embedding_scene(
    evidence: Evidence, project: Projection, max_points: int, sheets: Sheets | None = None
) -> Figure:
    """The embeddings in 3 coordinates: filled circles in-distribution, other symbols per out set,
    centres marked.

    Args:
        evidence: of one model.
        project: from the embedding to 3 coordinates.
        max_points: of each set, drawn at random.
        sheets: take the thumbnails of what is drawn; a point's ``customdata`` is the number of its
            sheet and its place there.
    """
    rng = np.random.default_rng(0)
    chosen = sample(len(evidence.in_set.judgement.score), max_points, rng)
    number = sheets.add(evidence.in_set, chosen) if sheets else None
    traces = _in_traces(evidence, project, chosen, number)
    colours, symbols = cycle(OUT_COLOURS), cycle(OUT_SYMBOLS)
    for out, colour, symbol in zip(evidence.out_sets, colours, symbols, strict=False):
        chosen = sample(len(out.judgement.score), max_points, rng)
        number = sheets.add(out, chosen) if sheets else None
        name, tiles = f"{out.name} ({out.kind})", _tiles(number, np.arange(len(chosen)))
        traces.append(_points(evidence, out, project, chosen, name, colour, symbol, tiles))
    if evidence.centres is not None and len(evidence.centres):
        traces.append(_centres(evidence, project))
    titles = (
        ("component 1", "component 2", "component 3") if len(project.mean) > 3 else ("x", "y", "z")
    )
    scene = {
        f"{axis}axis": {"title": {"text": title}} for axis, title in zip("xyz", titles, strict=True)
    }
    return {
        "data": traces,
        "layout": {
            "scene": {
                **scene,
                "aspectmode": "cube",
                "camera": {
                    "eye": {"x": 1.3, "y": 1.3, "z": 0.75},
                    "center": {"x": 0, "y": 0, "z": -0.1},
                },
            }
        },
    }


def coordinates(points: Array) -> Figure:
    """(N, 3) as the x, y and z of a trace."""
    return {axis: _rounded(points[:, i]) for i, axis in enumerate("xyz")}


def _tiles(number: int | None, places: Indices) -> Tiles:
    return None if number is None else [[number, place] for place in places.tolist()]


def _in_traces(
    evidence: Evidence, project: Projection, chosen: Indices, number: int | None
) -> list[Figure]:
    inside = evidence.in_set
    labels = inside.labels[chosen]
    if len(evidence.class_names) > MOST_CLASSES_NAMED:
        name = f"{inside.name}, {len(evidence.class_names)} classes"
        colours = [
            CLASS_COLOURS[label % len(CLASS_COLOURS)] if label >= 0 else IN_COLOUR
            for label in labels
        ]
        tiles = _tiles(number, np.arange(len(chosen)))
        return [_points(evidence, inside, project, chosen, name, colours, "circle", tiles)]
    present = sorted(set(labels.tolist()))
    return [
        _points(
            evidence,
            inside,
            project,
            chosen[labels == label],
            f"in: {class_name(evidence, label)}",
            CLASS_COLOURS[label] if label >= 0 else IN_COLOUR,
            "circle",
            _tiles(number, np.flatnonzero(labels == label)),
        )
        for label in present
    ]


def _points(
    evidence: Evidence,
    judged: JudgedSet,
    project: Projection,
    chosen: Indices,
    name: str,
    colour: str | Sequence[str],
    symbol: str,
    tiles: Tiles,
) -> Figure:
    texts = [
        f"{judged.decisions[i]}, score {judged.judgement.score[i]:.4g}<br>"
        + (
            f"class {plain(class_name(evidence, int(judged.labels[i])))}, "
            if judged.labels[i] >= 0
            else ""
        )
        + f"nearest {plain(class_name(evidence, int(judged.judgement.nearest[i])))}"
        + (f"<br>{plain(_short(judged.paths[i]))}" if judged.paths else "")
        for i in chosen
    ]
    size = OUT_SYMBOLS.get(symbol, 3)
    return {
        "type": "scatter3d",
        "mode": "markers",
        "name": plain(name),
        **coordinates(project(judged.judgement.embedding[chosen])),
        "text": texts,
        **({} if tiles is None else {"customdata": tiles}),
        "meta": _set_name(judged),
        "hovertemplate": "<b>%{meta}</b><br>%{text}<extra></extra>",
        "marker": {
            "size": size,
            "color": colour,
            "symbol": symbol,
            "opacity": 0.8,
            "line": {"width": 0},
        },
    }


def _centres(evidence: Evidence, project: Projection) -> Figure:
    assert evidence.centres is not None
    # Text inside a 3-D view knows tags but no entities, so angle brackets take another shape there.
    names = [
        class_name(evidence, i).replace("<", "‹").replace(">", "›")
        for i in range(len(evidence.centres))
    ]
    return {
        "type": "scatter3d",
        "name": "class centres",
        **coordinates(project(evidence.centres)),
        "text": names,
        "mode": "markers+text" if len(names) <= MOST_CLASSES_NAMED else "markers",
        "hovertemplate": "centre of %{text}<extra></extra>",
        "textposition": "top center",
        "marker": {"size": 9, "symbol": "cross", "color": INK, "line": {"width": 0}},
    }


def _short(path: str) -> str:
    """The file and its folder."""
    return "/".join(Path(path).parts[-2:])


def _set_name(judged: JudgedSet) -> str:
    return (
        f"{plain(judged.name)} ({judged.kind})"
        if judged.kind
        else f"{plain(judged.name)} (in, test)"
    )


def plain(text: str) -> str:
    """Text for plotly, which reads a few HTML tags in names: ``<b>`` must stay what it is."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _colours(count: int) -> tuple[str, ...]:
    return (IN_COLOUR, *islice(cycle(OUT_COLOURS), max(count - 1, 0)))


def _rounded(values: Array) -> list[float]:
    return [float(f"{value:.5g}") for value in values.tolist()]
