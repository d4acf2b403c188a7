"""Figure 1 of the paper: what each method does with known classes, novelties and anomalies, as 3-D
embeddings."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np

from knowbound.evidence import Evidence, JudgedSet
from knowbound.judgement import Judgement
from knowbound.labels import Kind
from knowbound.report.drawing import Drawing, add_key, check_ending, new_drawing, write_drawing
from knowbound.report.page import script_json, write_template
from knowbound.report.plots import Figure, coordinates, plain
from knowbound.report.projection import Array, Projection, sample, softmax

THREE_CLASSES = ("#d62728", "#1f5fd0", "#8e44ad")
"""Red, blue and purple, as in the paper."""
MORE_CLASSES = (
    "#1f5fd0",
    "#d62728",
    "#8e44ad",
    "#17becf",
    "#8c564b",
    "#e377c2",
    "#4b5cc4",
    "#a33b5c",
    "#2b8a8a",
    "#6b4fa0",
)
OUT_COLOURS = {"SVHN": "#e3c400", "CIFAR-10": "#ff7f0e"}
OTHER_OUTS = ("#b8860b", "#2e8b57", "#cc6677", "#555555", "#44aa99")
NOVELTY, NOISE = "#2ca02c", "#8a8a8a"


@dataclass(frozen=True, eq=False)
class Cloud:
    """Points of one colour in one cell of the grid."""

    name: str
    points: Array
    """(N, 3)."""
    colour: str
    faded: bool
    """In-distribution points stand back behind out points."""


@dataclass(frozen=True, eq=False)
class GridCell:
    """One method with the in-distribution alone, or with one out set."""

    method: str
    title: str
    clouds: tuple[Cloud, ...]


def embedding_grid(
    evidence: Sequence[Evidence], max_points: int = 1000, colours: tuple[str, str] | None = None
) -> tuple[tuple[GridCell, ...], ...]:
    """One row per model, in the columns the in-distribution test set alone and then every out set.

    Embeddings longer than 3 are projected on principal components.  Logits of 3 classes are drawn
    after the softmax, on the triangle of probabilities as in the paper: that is what the detector
    sees, and why it has no place for what it does not know.

    Args:
        evidence: of the models.
        max_points: of each set, drawn at random.
        colours: one for everything in-distribution and one for everything else, as in Figure 3; by
            default each class and each out set has its own.
    """
    return tuple(_row(_drawable(one), max_points, colours) for one in evidence)


def embedding_figure(
    path: Path,
    evidence: Sequence[Evidence],
    *,
    title: str = "",
    colours: tuple[str, str] | None = None,
) -> None:
    """Write the grid as a picture; the ending of ``path`` (.png, .pdf, .svg) says which kind.

    Args:
        path: of the picture.
        evidence: of at least one model.
        title: above the grid.
        colours: as in ``embedding_grid``.

    Raises:
        UserError: matplotlib is not installed, or the picture cannot be written.
        ValueError: no evidence.
    """
    check_ending(path)
    rows = _checked(embedding_grid(evidence, colours=colours))
    width = max(len(row) for row in rows)
    drawing = new_drawing(2.7 * width + 0.3, 2.75 * len(rows) + 0.5, dpi=150)
    _draw_grid(drawing, rows, width, title)
    write_drawing(path, drawing)


def figure_page(
    path: Path,
    evidence: Sequence[Evidence],
    title: str,
    *,
    max_points: int = 300,
    colours: tuple[str, str] | None = None,
) -> None:
    """Write the grid as one HTML file whose views can be turned; it needs no matplotlib.

    Args:
        path: of the file.
        evidence: of at least one model.
        title: of the page.
        max_points: of each set, drawn at random.
        colours: as in ``embedding_grid``.

    Raises:
        UserError: the page cannot be written.
        ValueError: no evidence.
    """
    rows = _checked(embedding_grid(evidence, max_points, colours))
    cells = [
        [_view(cell, f"view-{i}-{j}") for j, cell in enumerate(row)] for i, row in enumerate(rows)
    ]
    methods = [(row[0].method, views) for row, views in zip(rows, cells, strict=True)]
    write_template(path, "figure.html.jinja", {"title": title, "methods": methods})


def out_colour(out: JudgedSet, others: "cycle[str]") -> str:
    """Novelty green, SVHN yellow, CIFAR-10 orange, noise grey as in the paper; another colour for
    any other set.

    Args:
        out: the set.
        others: gives the other colours in turn.
    """
    if out.name in OUT_COLOURS:
        return OUT_COLOURS[out.name]
    if "noise" in out.name.lower():
        return NOISE
    return NOVELTY if out.kind == Kind.NOVELTY else next(others)


def _checked(rows: tuple[tuple[GridCell, ...], ...]) -> tuple[tuple[GridCell, ...], ...]:
    if not rows:
        raise ValueError(
            "a figure of embeddings needs the evidence of at least one model, got none"
        )
    return rows


def _drawable(evidence: Evidence) -> Evidence:
    if evidence.shows != "logits" or evidence.in_set.judgement.embedding.shape[1] != 3:
        return evidence
    in_set, *outs = (
        replace(judged, judgement=_as_probabilities(judged.judgement))
        for judged in (evidence.in_set, *evidence.out_sets)
    )
    return replace(evidence, in_set=in_set, out_sets=tuple(outs), centres=None)


def _as_probabilities(judgement: Judgement[Any]) -> Judgement[Any]:
    return judgement._replace(embedding=softmax(judgement.embedding).astype(np.float32))


def _row(
    evidence: Evidence, max_points: int, colours: tuple[str, str] | None
) -> tuple[GridCell, ...]:
    rng = np.random.default_rng(0)
    project = Projection.fit(evidence.in_set.judgement.embedding)
    inside = _in_clouds(evidence, project, sample(len(evidence.in_set.labels), max_points, rng))
    if colours:
        inside = (
            Cloud(
                "in-distribution",
                np.concatenate([cloud.points for cloud in inside]),
                colours[0],
                faded=False,
            ),
        )
    cells = [GridCell(evidence.method, "in-distribution", inside)]
    behind = tuple(replace(cloud, faded=True) for cloud in inside)
    others = cycle(OTHER_OUTS)
    for out in evidence.out_sets:
        chosen = sample(len(out.judgement.score), max_points, rng)
        colour = colours[1] if colours else out_colour(out, others)
        cloud = Cloud(out.name, project(out.judgement.embedding[chosen]), colour, faded=False)
        cells.append(GridCell(evidence.method, f"{out.name} ({out.kind})", (*behind, cloud)))
    return tuple(cells)


def _in_clouds(
    evidence: Evidence, project: Projection, chosen: np.ndarray[Any, np.dtype[np.int64]]
) -> tuple[Cloud, ...]:
    inside, names = evidence.in_set, evidence.class_names
    colours = THREE_CLASSES if len(names) <= 3 else MORE_CLASSES
    points, labels = project(inside.judgement.embedding[chosen]), inside.labels[chosen]
    return tuple(
        Cloud(
            names[label] if label >= 0 else "in",
            points[labels == label],
            colours[label % len(colours)],
            faded=False,
        )
        for label in sorted(set(labels.tolist()))
    )


def _draw_grid(
    drawing: Drawing, rows: tuple[tuple[GridCell, ...], ...], width: int, title: str
) -> None:
    for i, row in enumerate(rows):
        for j, cell in enumerate(row):
            axes: Any = drawing.add_subplot(len(rows), width, i * width + j + 1, projection="3d")
            for cloud in cell.clouds:
                axes.scatter(
                    *cloud.points.T,
                    s=2 if cloud.faded else 4,
                    c=cloud.colour,
                    alpha=0.15 if cloud.faded else 0.7,
                    linewidths=0,
                    depthshade=False,
                    rasterized=True,
                )
            axes.view_init(elev=25, azim=40)  # the triangle of CE is seen from its face
            axes.tick_params(labelsize=5, pad=-4)
            axes.set_box_aspect((1, 1, 1), zoom=0.95)
            axes.set_title(
                cell.title
                if i == 0 or cell.title != rows[0][min(j, len(rows[0]) - 1)].title
                else "",
                fontsize=10,
                y=1.0,
            )
            if j == 0:
                axes.text2D(
                    -0.12,
                    0.5,
                    cell.method,
                    transform=axes.transAxes,
                    rotation=90,
                    fontsize=12,
                    weight="bold",
                    va="center",
                )
    height = drawing.get_figheight()
    drawing.subplots_adjust(
        left=0.03,
        right=0.985,
        bottom=0.4 / height,
        top=1 - (0.75 if title else 0.35) / height,
        wspace=0.06,
        hspace=0.1,
    )
    inside = rows[0][0].clouds  # an out set is the only one of its column and needs no entry
    if len(inside) <= len(MORE_CLASSES):
        add_key(drawing, [(cloud.name, cloud.colour) for cloud in inside])
    if title:
        drawing.suptitle(title, fontsize=13, y=1 - 0.12 / height, va="top")


def _view(cell: GridCell, element_id: str) -> dict[str, Any]:
    traces: list[Figure] = [
        {
            "type": "scatter3d",
            "mode": "markers",
            "name": cloud.name,
            "meta": plain(cloud.name),
            **coordinates(cloud.points),
            "hovertemplate": "%{meta}<extra></extra>",
            "marker": {
                "size": 2 if cloud.faded else 3,
                "color": cloud.colour,
                "opacity": 0.25 if cloud.faded else 0.8,
                "symbol": "circle" if cloud.faded or cell.title == "in-distribution" else "diamond",
            },
        }
        for cloud in cell.clouds
    ]
    scene: Figure = {f"{axis}axis": {"title": {"text": ""}} for axis in "xyz"}
    layout = {
        "showlegend": False,
        "scene": {**scene, "aspectmode": "cube", "camera": {"eye": {"x": 1.4, "y": 1.4, "z": 1.0}}},
    }
    names = ", ".join(cloud.name for cloud in cell.clouds)
    return {
        "id": element_id,
        "title": cell.title,
        "alt": f"3-D view of the embeddings of {cell.method}: {names}",
        "legend": [(cloud.name, cloud.colour) for cloud in cell.clouds if not cloud.faded],
        "figure": script_json({"data": traces, "layout": layout}),
    }
