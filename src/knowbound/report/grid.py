"""The panels of Figure 1: a row per method, the in set alone in the first column and each out set over it in the next ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice

import numpy as np
from numpy.typing import NDArray

from knowbound.labels import Kind
from knowbound.report.evidence import Evidence, JudgedSet
from knowbound.report.projection import Array, Projection, sample, softmax

# Figure 1 of the paper: three classes in red, blue and purple; novelty green, SVHN yellow, CIFAR-10 orange, noise grey.
THREE_CLASSES = ("#d62728", "#1f57c3", "#8e44ad")
MORE_CLASSES = (*THREE_CLASSES, "#17a2b8", "#c2185b", "#3f51b5", "#795548", "#00695c", "#7b5ea7", "#ad1457")
OUT_COLOURS = {"SVHN": "#e0b400", "CIFAR-10": "#f57c00", "Gaussian noise": "#6d7278"}
NOVELTY_COLOUR = "#2ca02c"
SPARE_COLOURS = ("#b36b00", "#a0522d", "#5f7d95", "#8c8c00")


@dataclass(frozen=True, eq=False)
class Panel:
    """One cell of the grid, at most a sample of each set."""

    title: str
    inside: Array
    """(N, 3)."""
    labels: NDArray[np.int64]
    """(N,)."""
    outside: Array | None
    """(M, 3), or None in the first column and where the method did not judge the set."""
    out_name: str
    out_colour: str


@dataclass(frozen=True, eq=False)
class Row:
    """One method's panels, all in the same coordinates."""

    method: str
    class_names: tuple[str, ...]
    axes: tuple[str, str, str]
    is_simplex: bool
    """Whether the coordinates are probabilities, each between 0 and 1."""
    how: str
    """Where the coordinates come from, in a sentence."""
    panels: tuple[Panel, ...]


def grid(evidence: Sequence[Evidence], max_points: int) -> tuple[Row, ...]:
    """The rows of the grid; columns are the in set and every out set any method judged, in order of appearance.

    For the method CE with 3 classes a point is the softmax of its embedding (its logits), as in the paper's first row: a corner of
    the triangle is a sure decision.  Every other embedding is drawn as it is, by its principal components if D > 3.
    """
    if not evidence:
        raise ValueError("a figure of no model was asked for; give the evidence of at least one")
    names = list(dict.fromkeys(out.name for one in evidence for out in one.out_sets))
    colours = out_colours([out for one in evidence for out in one.out_sets])
    return tuple(_row(one, names, colours, max_points) for one in evidence)


def out_colours(sets: Sequence[JudgedSet]) -> Mapping[str, str]:
    """The colour of every out set by name: the paper's where it has one."""
    spare = cycle(SPARE_COLOURS)
    colours: dict[str, str] = {}
    for out in sets:
        if out.name not in colours:
            fresh = NOVELTY_COLOUR not in colours.values()
            own = NOVELTY_COLOUR if out.kind == Kind.NOVELTY and fresh else None
            colours[out.name] = OUT_COLOURS.get(out.name) or own or next(spare)
    return colours


def class_colours(count: int) -> tuple[str, ...]:
    """A colour for each in class: the paper's for three."""
    return tuple(islice(cycle(MORE_CLASSES), count))


def _row(one: Evidence, names: Sequence[str], colours: Mapping[str, str], max_points: int) -> Row:
    inside, dim = one.in_set, one.in_set.embeddings.shape[1]
    is_simplex = one.method == "CE" and dim == len(one.class_names) == 3
    project = None if is_simplex else Projection.fit(inside.embeddings)
    place = project or softmax
    rng = np.random.default_rng(0)  # the same sample every time the figure is drawn
    chosen = sample(len(inside.scores), max_points, rng)
    points, labels = place(inside.embeddings[chosen]), inside.labels[chosen]
    sets = {out.name: out for out in one.out_sets}
    panels = [Panel(f"{one.method}: {inside.name}", points, labels, None, "", "")]
    for name in names:
        out = sets.get(name)
        outside = None if out is None else place(out.embeddings[sample(len(out.scores), max_points, rng)])
        panels.append(
            Panel(f"{one.method}: {name}" if out else f"{name}: not judged", points, labels, outside, name, colours[name])
        )
    return Row(one.method, one.class_names, *_axes(one, project), tuple(panels))


def _axes(one: Evidence, project: Projection | None) -> tuple[tuple[str, str, str], bool, str]:
    if project is None:
        first, second, third = (f"P({name})" for name in one.class_names)
        return (first, second, third), True, "The softmax of the network's 3 outputs: a corner of the triangle is a sure decision."
    if (dim := len(project.mean)) <= 3:
        return ("x", "y", "z"), False, f"The {dim}-dimensional embedding itself."
    how = f"The first 3 of {dim} principal components of the known classes, which keep {project.explained:.0%} of their variance."
    return ("PC 1", "PC 2", "PC 3"), False, how
