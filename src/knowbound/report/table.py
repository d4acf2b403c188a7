"""Result rows -> a table: one line per method and out set, mean ± standard deviation over seeds,
the paper's number beside."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isnan
from statistics import mean, stdev
from textwrap import wrap

from knowbound.result import Published, Result

METRICS = {
    "fpr95": "FPR95",
    "detection_error": "Detection error",
    "auroc": "AUROC",
    "aupr_in": "AUPR-in",
    "aupr_out": "AUPR-out",
}
HEADINGS = ("Method", "In-dist accuracy", "Out-dist", "n in / n out", *METRICS.values())


@dataclass(frozen=True, slots=True)
class Cell:
    """One number of a line, as percent with two decimals."""

    ours: str
    """``94.12`` or, over several runs, ``94.12 ± 0.30``; a dash where nothing was measured."""
    paper: str = ""
    """``94.48``; empty where the paper has no such number."""

    def __str__(self) -> str:
        return f"{self.ours} (paper {self.paper})" if self.paper else self.ours


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a table: a method against an out set, over all its runs."""

    method: str
    accuracy: Cell
    out_dist: str
    kind: str
    seen: bool
    counts: str
    metrics: tuple[Cell, ...]
    runs: int

    def cells(self) -> tuple[str, ...]:
        """The text of every column, in the order of HEADINGS."""
        what = f"{self.out_dist} ({self.kind}, {'seen' if self.seen else 'unseen'})"
        return (self.method, str(self.accuracy), what, self.counts, *map(str, self.metrics))


def table_lines(
    results: Sequence[Result], published: Sequence[Published] = (), *, convention: str = "exact"
) -> tuple[Line, ...]:
    """One line per (in-dist, method, variant, backbone, scale, out-dist, ...) in order of
    appearance, over its runs.  A method of fewer runs than others says how many.

    Args:
        results: the rows.
        published: printed numbers; one stands beside ours if ``Published.matches`` every run.
        convention: of the rows that are shown.
    """
    groups: dict[tuple[object, ...], list[Result]] = {}
    for row in results:
        if row.convention == convention:
            groups.setdefault(_same_line(row), []).append(row)
    many = len({row.run.in_dist for rows in groups.values() for row in rows}) > 1
    scales = len({row.run.scale for rows in groups.values() for row in rows}) > 1
    lines = [_line(rows, published, many, scales) for rows in groups.values()]
    most = max((line.runs for line in lines), default=0)
    return tuple(line if line.runs == most else _with_runs(line, most) for line in lines)


def _with_runs(line: Line, most: int) -> Line:
    return replace(line, method=f"{line.method} [{line.runs} of {most} runs]")


def markdown_table(
    results: Sequence[Result],
    published: Sequence[Published] = (),
    *,
    convention: str = "exact",
    aupr_note: str = "",
) -> str:
    """The table as GitHub Markdown, with a sentence on its units below.

    Args:
        results: the rows.
        published: printed numbers to stand beside ours.
        convention: of the rows that are shown.
        aupr_note: what to say below of the areas under the precision-recall curves, which depend on
            the sizes of the sets.
    """
    lines = table_lines(results, published, convention=convention)
    rows = [
        HEADINGS,
        ("---", "---:", "---", *["---:"] * (len(HEADINGS) - 3)),
        *(line.cells() for line in lines),
    ]
    text = "\n".join("| " + " | ".join(_markdown_cell(cell) for cell in row) + " |" for row in rows)
    return (
        f"{text}\n\n{caption(lines, published, convention)}"
        + (f" {aupr_note}" if aupr_note else "")
        + "\n"
    )


def terminal_table(
    results: Sequence[Result],
    published: Sequence[Published] = (),
    *,
    convention: str = "exact",
    width: int | None = None,
) -> str:
    """The table as plain text, no number ever cut.

    Args:
        results: the rows.
        published: numbers to print beside ours.
        convention: of the rows that are shown.
        width: columns of the terminal.  Where they are too few, each row takes a few lines.  None:
            columns are separated by tabs, as programs read them.
    """
    lines = table_lines(results, published, convention=convention)
    rows = [line.cells() for line in lines]
    widths = [max(map(len, column)) for column in zip(HEADINGS, *rows, strict=True)]
    if width is None:
        text = ["\t".join(row) for row in (HEADINGS, *rows)]
    elif sum(widths) + 2 * (len(widths) - 1) <= width:
        text = [
            "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip()
            for row in (HEADINGS, *rows)
        ]
    else:
        text = [line for row in rows for line in _card(row, width)]
    return "\n".join([*text, "", *wrap(caption(lines, published, convention), width or 10**9)])


def _card(row: Sequence[str], width: int) -> list[str]:
    """One row in a few lines: the method and the set, then the numbers by name."""
    named = dict(zip(HEADINGS, row, strict=True))
    head = f"{named.pop('Method')} against {named.pop('Out-dist')}"
    lines = [""]
    for name, cell in named.items():
        word = f"{name} {cell}"
        if lines[-1] and len(lines[-1]) + len(word) + 4 > width:
            lines.append("")
        lines[-1] += f", {word}" if lines[-1] else word
    return [head, *(f"  {line}" for line in lines)]


def caption(lines: Sequence[Line], published: Sequence[Published], convention: str) -> str:
    """What every table says of its numbers: the unit, the number of runs, the conventions, and what
    "seen" means.

    Args:
        lines: of the table.
        published: printed numbers beside ours.
        convention: of the rows that are shown.
    """
    if not lines:
        return f"No rows of the convention {convention}."
    runs = sorted({line.runs for line in lines})
    spread = (
        f"; mean ± sample standard deviation over {'/'.join(map(str, runs))} runs"
        if runs[-1] > 1
        else ""
    )
    sentences = [f"Percent, convention {convention}{spread}."]
    if any(line.seen for line in lines):
        sentences.append("Seen: images of that kind, but others, were shown in training.")
    theirs = sorted({p.convention for p in published} - {convention})
    if theirs and any(cell.paper for line in lines for cell in line.metrics):
        sentences.append(f"The paper measured in the convention {', '.join(theirs)}.")
    return " ".join(sentences)


def _same_line(row: Result) -> tuple[object, ...]:
    # Everything but the seed and the split (the paper averages over random splits too) separates
    # lines.
    return (
        row.run.experiment,
        row.run.scale,
        row.run.in_dist,
        row.run.method,
        row.run.variant,
        row.run.backbone,
        row.run.detector,
        row.run.seen_out,
        row.out_dist,
        row.kind,
        row.seen,
    )


def _line(
    rows: Sequence[Result], published: Sequence[Published], name_in_dist: bool, name_scale: bool
) -> Line:
    first = rows[0]
    paper = _counterpart(rows, published)
    where = [first.run.in_dist] if name_in_dist else []
    words = [
        word for word in (first.run.variant, *where, first.run.scale if name_scale else "") if word
    ]
    return Line(
        method=f"{first.run.method} ({', '.join(words)})" if words else first.run.method,
        accuracy=_cell([row.in_accuracy for row in rows], paper.in_accuracy if paper else None),
        out_dist=first.out_dist,
        kind=first.kind,
        seen=first.seen,
        counts=f"{_range([row.n_in for row in rows])} / {_range([row.n_out for row in rows])}",
        metrics=tuple(
            _cell([getattr(row.numbers, m) for row in rows], getattr(paper, m) if paper else None)
            for m in METRICS
        ),
        runs=len(rows),
    )


def _counterpart(rows: Sequence[Result], published: Sequence[Published]) -> Published | None:
    twins = [p for p in published if all(p.matches(row) for row in rows)]
    if len(twins) > 1:  # Tables 2 and 4 hold the same cells, on other splits
        twins = [p for p in twins if p.table == rows[0].run.experiment]
    return twins[0] if len(twins) == 1 else None


def _cell(values: Sequence[float | None], paper: float | None) -> Cell:
    measured = [
        100 * value for value in values if value is not None and not isnan(value)
    ]  # odin has no FPR without a fitting step
    printed = "" if paper is None else f"{100 * paper:.2f}"
    if not measured:
        return Cell("–", printed)
    spread = f" ± {stdev(measured):.2f}" if len(measured) > 1 else ""
    return Cell(f"{mean(measured):.2f}{spread}", printed)


def _range(counts: Sequence[int]) -> str:
    low, high = min(counts), max(counts)
    return f"{low:,}" if low == high else f"{low:,}–{high:,}"


def _markdown_cell(text: str) -> str:
    escaped = (
        text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace(">", "&gt;")
    )
    return " ".join(escaped.split())
