"""What one row of a table holds.  Rates are fractions; percent appears only in ``report``."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from knowbound.values import JsonMapping

METRICS = ("fpr95", "detection_error", "auroc", "aupr_in", "aupr_out")
"""The five numbers of a row, in the order of the columns."""


@dataclass(frozen=True, slots=True)
class Run:
    """What was run: all that the rows of one trained and calibrated model have in common."""

    experiment: str
    """The table: ``table2``, ``demo``, ``evaluate``, ..."""
    scale: str
    method: str
    variant: str
    backbone: str
    in_dist: str
    split: str
    seed: int
    seen_out: tuple[str, ...]
    """Names of the out-of-distribution sets shown in training, without labels."""
    detector: str
    train_seconds: float
    train_images: int
    """Images that went through the backbone in training (steps times batch size)."""
    provenance: JsonMapping = field(default_factory=dict)
    """``version``, ``commit``, ``settings``, ``data_sha256``, ``hardware``, ``torch``, ``date``."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """The five numbers of a row, as fractions."""

    fpr95: float
    detection_error: float
    auroc: float
    aupr_in: float
    aupr_out: float


@dataclass(frozen=True, slots=True)
class Result:
    """One method against one out-of-distribution set: a line of ``results/<experiment>.jsonl``.

    The line is flat: the fields of ``run`` and ``numbers`` stand beside the others.
    """

    run: Run
    out_dist: str
    kind: str
    """``novelty`` or ``anomaly``: the truth, declared by the split."""
    seen: bool
    """Whether this set's kind was shown in training (other images or classes of it)."""
    convention: str
    """Which definition of the metrics: a name of ``knowbound.metrics.CONVENTIONS``."""
    n_in: int
    n_out: int
    in_accuracy: float | None
    """Share of in-distribution test images given their class, nothing rejected; None without
    labels."""
    numbers: Numbers
    tie_share: float | None = None
    """Share of all images whose score another image has too; kept in ``provenance`` in the file."""
    decisions: Mapping[str, int] | None = None
    """How many images of the set were called known, novelty and anomaly; None in older rows."""
    kind_auroc: float | None = None
    """Of an anomaly set: AUROC of the domain score between all novelties and this set; None in
    older rows and where there are no novelties."""

    def to_json(self) -> str:
        """The row as one line of JSON, keys in the order of ``KEYS``."""
        run = {f.name: getattr(self.run, f.name) for f in fields(Run)}
        extra = {} if self.tie_share is None else {"tie_share": self.tie_share}
        values = {
            **run,
            **{name: getattr(self, name) for name in _OWN},
            **asdict(self.numbers),
            "provenance": {**self.run.provenance, **extra},
        }
        later = {name: getattr(self, name) for name in _LATER if getattr(self, name) is not None}
        row = {name: values[name] for name in KEYS} | later
        return json.dumps(_finite(row), ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, line: str) -> "Result":
        """The row a line of JSON holds; keys that newer versions added may be missing.

        Raises:
            ValueError: keys are missing or unknown; it names them.
        """
        values = json.loads(line)
        missing = sorted(set(KEYS) - values.keys())
        unknown = sorted(values.keys() - {*KEYS, *_LATER})
        if missing or unknown:
            raise ValueError(
                f"a result row lacks the keys {missing} and has the unknown keys {unknown}"
            )
        provenance = dict(values["provenance"])
        tie_share = provenance.pop("tie_share", None)
        run = {f.name: values[f.name] for f in fields(Run)}
        return cls(
            run=Run(**{**run, "seen_out": tuple(run["seen_out"]), "provenance": provenance}),
            numbers=Numbers(**{name: _number(values[name]) for name in METRICS}),
            tie_share=tie_share,
            **{name: values[name] for name in _OWN},
            **{name: values.get(name) for name in _LATER},
        )


def _finite(value: Any) -> Any:
    """The same with None for each number that JSON has no word for, such as a rate where no
    threshold has the asked TPR."""
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _number(value: float | None) -> float:
    return math.nan if value is None else value


_OWN = ("out_dist", "kind", "seen", "convention", "n_in", "n_out", "in_accuracy")
_LATER = ("decisions", "kind_auroc")
KEYS = (
    *("experiment", "scale", "method", "variant", "backbone", "in_dist", "split", "seed"),
    *("seen_out", "out_dist", "kind", "seen", "detector", "convention", "n_in", "n_out"),
    *("in_accuracy", *METRICS, "train_seconds", "train_images", "provenance"),
)
"""The keys of a line, in order; ``decisions`` and ``kind_auroc`` may follow."""


@dataclass(frozen=True, slots=True)
class Published:
    """One row that a paper printed, as fractions; None where it printed nothing.

    A Result is its counterpart when ``in_dist``, ``method``, ``variant`` and ``out_dist`` are
    equal.
    """

    table: str
    in_dist: str
    method: str
    variant: str
    out_dist: str
    kind: str
    seen: bool
    convention: str
    in_accuracy: float | None
    fpr95: float | None
    detection_error: float | None
    auroc: float | None
    aupr_in: float | None
    aupr_out: float | None

    def matches(self, row: Result) -> bool:
        """Whether a row is the same cell of the table.

        Args:
            row: one of ours.
        """
        ours = (row.run.in_dist, row.run.method, row.run.variant, row.out_dist)
        return ours == (self.in_dist, self.method, self.variant, self.out_dist)


def read_rows(path: Path) -> Iterator[Result]:
    """The rows of a ``.jsonl`` file in order; none if the file is absent.

    A last line without its newline was cut off by a kill and is left out: its row is computed
    again.

    Args:
        path: of the file.

    Raises:
        ValueError: a row lacks keys or has unknown ones.
    """
    if not path.exists():
        return
    for line in path.read_text(encoding="utf-8").split("\n")[:-1]:
        if line.strip():
            yield Result.from_json(line)


def append_rows(path: Path, rows: Iterable[Result]) -> None:
    """Append rows to a ``.jsonl`` file in one write, after cutting off a half-written last line.

    Args:
        path: of the file; its folder is made.
        rows: in order.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        content = path.read_bytes()
        if content and not content.endswith(b"\n"):
            path.write_bytes(content[: content.rfind(b"\n") + 1])
    text = "".join(row.to_json() + "\n" for row in rows)
    with path.open("a", encoding="utf-8") as file:
        file.write(text)
