"""``results/table1.md``: the paper's number, ours in its convention and ours exact, beside each
other in every cell."""

from collections.abc import Sequence
from pathlib import Path
from statistics import mean

from knowbound.files import replace_file
from knowbound.paper.objects.split import IN_DISTS
from knowbound.paper.own_rows import OWN_VARIANTS
from knowbound.paper.published import published
from knowbound.result import Published, Result, read_rows

COLUMNS = {
    "TNR": ("fpr95", True),
    "Detection accuracy": ("detection_error", True),
    "AUROC": ("auroc", False),
    "AUPR-in": ("aupr_in", False),
    "AUPR-out": ("aupr_out", False),
}
"""The paper's columns: our field, and whether the paper prints 1 minus it."""
PAPER_METHOD = {
    "Max softmax": "ODIN",
    "ODIN": "ODIN",
    "Confidence loss": "CC-AG",
    "CC-AG": "CC-AG",
    "ODM": "ODM",
}
"""Which of the paper's three methods stands beside each of ours; two of its names probably stand
for other methods."""
PAPER_OUTS = ("CIFAR-10", "SVHN", "Tiny ImageNet", "LSUN", "Gaussian noise")
LEGACY = ("ccag", "ccag_of_distances")
"""The conventions of the middle number of a cell: as released, and as older rows have it."""
SCALES = ("paper", "cpu", "quick")


def write_table1(results: Path) -> Path:
    """The page from ``results/table1.jsonl`` and nothing else."""
    rows = list(read_rows(results / "table1.jsonl"))
    parts = [INTRO, *_about_distances(rows)]
    for scale in SCALES:
        of_scale = [row for row in rows if row.run.scale == scale]
        if not of_scale:
            continue
        parts.append(f"## Scale `{scale}`: {of_scale[0].run.backbone}\n")
        parts.append("### Mean exact AUROC over the unseen sets\n")
        parts.append(_means(of_scale))
        for in_dist in IN_DISTS:
            mine = [row for row in of_scale if row.run.in_dist == in_dist]
            if mine:
                parts += [f"### {in_dist} in-distribution\n", _cells(mine)]
                sheet = f"table1_ccag_{in_dist.lower()}_{scale}.png"
                if (results / sheet).exists():
                    parts.append(
                        f"What CC-AG's generator made, from the same noise each "
                        f"time:\n\n![Generated images]({sheet})\n"
                    )
    path = results / "table1.md"
    replace_file(path, "\n".join(parts).encode())
    return path


def _about_distances(rows: Sequence[Result]) -> list[str]:
    """What is to be said of rows whose middle number is not the released program's."""
    former = list(dict.fromkeys(_name(row) for row in rows if row.convention == LEGACY[1]))
    return [OF_DISTANCES.format(rows=" and ".join(former))] if former else []


def unseen_mean(rows: Sequence[Result]) -> float:
    """Mean exact AUROC over Tiny ImageNet, LSUN and Gaussian noise: the sets that nothing in Table
    1 has seen."""
    return mean(
        row.numbers.auroc
        for row in rows
        if row.convention == "exact" and _paper_out(row.out_dist) in PAPER_OUTS[2:]
    )


def _means(rows: Sequence[Result]) -> str:
    names = list(dict.fromkeys(_name(row) for row in rows))
    headings = " | ".join(f"{d}: accuracy | {d}: AUROC" for d in IN_DISTS)
    lines = [f"| Method | {headings} |", "| --- |" + " ---: |" * 2 * len(IN_DISTS)]
    best = {
        d: max((unseen_mean(g) for n in names if (g := _group(rows, d, n))), default=0.0)
        for d in IN_DISTS
    }
    for name in names:
        cells = []
        for in_dist in IN_DISTS:
            group = _group(rows, in_dist, name)
            value = unseen_mean(group) if group else None
            text = "–" if value is None else f"{100 * value:.2f}"
            cells += [_percent(_accuracy(group)), f"**{text}**" if value == best[in_dist] else text]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    seeds = len({row.run.seed for row in rows})
    return "\n".join(lines) + (f"\n\nMeans over {seeds} seeds.\n" if seeds > 1 else "\n")


def _cells(rows: Sequence[Result]) -> str:
    header = ("Method", "Accuracy (paper)", "Out set", "n in / n out", *COLUMNS)
    lines = [
        "| " + " | ".join(header) + " |",
        "| --- | ---: | --- | ---: |" + " ---: |" * len(COLUMNS),
    ]
    legacy = {
        (_name(row), row.out_dist, row.run.seed): row for row in rows if row.convention in LEGACY
    }
    for row in rows:
        if row.convention != "exact":
            continue
        theirs = _counterpart(row)
        accuracy = _percent(row.in_accuracy) + (
            f" ({_percent(theirs.in_accuracy)})" if theirs else ""
        )
        ours = legacy[_name(row), row.out_dist, row.run.seed].numbers
        three = (theirs, ours, row.numbers)
        cells = [
            " / ".join("–" if one is None else _percent(getattr(one, name), minus) for one in three)
            for name, minus in COLUMNS.values()
        ]
        out = row.out_dist + (", seen" if row.seen else "")
        lines.append(
            f"| {_name(row)} | {accuracy} | {out} | {row.n_in:,} / {row.n_out:,} | "
            + " | ".join(cells)
            + " |"
        )
    return "\n".join(lines) + "\n"


def _counterpart(row: Result) -> Published | None:
    if row.run.variant in OWN_VARIANTS:
        return None
    wanted = (row.run.in_dist, PAPER_METHOD.get(row.run.method), _paper_out(row.out_dist))
    return next(
        (p for p in published("table1") if (p.in_dist, p.method, p.out_dist) == wanted), None
    )


def _paper_out(name: str) -> str:
    """What the paper calls an out set: the files and stand-ins of Tiny ImageNet and LSUN have
    longer names."""
    return next(
        (paper for paper in PAPER_OUTS if name == paper or name.startswith(f"{paper} (")), name
    )


def _name(row: Result) -> str:
    return f"{row.run.method} ({row.run.variant})" if row.run.variant else row.run.method


def _group(rows: Sequence[Result], in_dist: str, name: str) -> list[Result]:
    return [row for row in rows if row.run.in_dist == in_dist and _name(row) == name]


def _accuracy(group: Sequence[Result]) -> float | None:
    """The mean over the seeds; each has as many rows as every other."""
    known = [row.in_accuracy for row in group if row.in_accuracy is not None]
    return mean(known) if known else None


def _percent(value: float | None, minus: bool = False) -> str:
    return (
        "–" if value is None or value != value else f"{100 * (1 - value if minus else value):.1f}"
    )


INTRO = """# Table 1: SVHN and CIFAR-10 against each other and unseen sets

Generated from `table1.jsonl` by `knowbound reproduce table1`. How our set-up and the paper's differ, what was tried and what the
numbers say is in [docs/table1.md](../docs/table1.md).

A cell shows **the paper's number / ours in the paper's convention (`ccag`) / ours `exact`**, in percent. TNR: share of the out-of-distribution
images rejected where 95% of the in-distribution images are accepted. Detection accuracy: 1 minus the detection error, in `ccag` the best over all
thresholds, in `exact` that at 95%. The paper's column "ODIN" stands beside our max softmax and ODIN, its "CC-AG" beside our
confidence loss and CC-AG: its first column looks like max softmax, its second like the confidence loss on real
out-of-distribution images.
"seen": other images of that set were shown in training. Synthetic outliers are made from the known images alone; "every block" scores
the same network by the activations of every block; two heads take the class from a head of its own
([two heads](two_heads.md)): these rows are ours. Methods without a number of the paper's are not in its table.
AUPR depends on the sizes of the sets, which are in the table.
"""
OF_DISTANCES = """The rows of {rows} were measured before `ccag` took the squares of distances, as the released program does: their middle number is
`ccag` of the distances themselves (`ccag_of_distances` in `table1.jsonl`). Once they are trained again, the middle number may change in every column of
these rows; the others do not. To measure them, remove their lines from `table1.jsonl` and run the command again.
"""
