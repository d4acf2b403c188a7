"""What one row of a table holds.  Rates are fractions; percent appears only in ``report``."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Result:
    """One method against one out set: a line of ``results/<experiment>.jsonl``."""

    experiment: str
    scale: str
    method: str
    variant: str
    backbone: str
    in_dist: str
    split: str
    seed: int
    seen_out: tuple[str, ...]
    """Names of the out sets shown in training, without labels."""
    out_dist: str
    kind: str
    """``novelty`` or ``anomaly``: the truth, declared by the split."""
    seen: bool
    """Whether this out set's kind was shown in training (other images or classes of it)."""
    detector: str
    convention: str
    """Which definition of the metrics: ``exact``, ``seed``, ``odin``, ``ccag`` or ``openood``."""
    n_in: int
    n_out: int
    in_accuracy: float | None
    """Share of in-distribution test images given their class, nothing rejected; None without
    labels."""
    fpr95: float
    detection_error: float
    auroc: float
    aupr_in: float
    aupr_out: float
    train_seconds: float
    train_images: int
    """Images that went through the backbone in training (steps times batch size)."""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """``version``, ``commit``, ``settings``, ``data_sha256``, ``hardware``, ``torch``, ``date``."""

    def to_json(self) -> str:
        """The row as one line of JSON, keys in declaration order."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, line: str) -> "Result":
        """The row a line of JSON holds.  Raises ValueError that names missing or unknown keys."""
        values = json.loads(line)
        known = {f.name for f in fields(cls)}
        if values.keys() != known:
            missing, unknown = sorted(known - values.keys()), sorted(values.keys() - known)
            raise ValueError(
                f"a result row lacks the keys {missing} and has the unknown keys {unknown}"
            )
        return cls(**{**values, "seen_out": tuple(values["seen_out"])})


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
        """Whether the row is the same cell of the table."""
        ours = (row.in_dist, row.method, row.variant, row.out_dist)
        return ours == (self.in_dist, self.method, self.variant, self.out_dist)


def read_rows(path: Path) -> Iterator[Result]:
    """The rows of a ``.jsonl`` file in order; none if the file is absent.

    A last line without its newline was cut off by a kill and is left out: its row is computed
    again.
    """
    if not path.exists():
        return
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        if line.endswith("\n") and line.strip():
            yield Result.from_json(line)


def append_rows(path: Path, rows: Iterable[Result]) -> None:
    """Append the rows to a ``.jsonl`` file in one write, after cutting off a half-written last
    line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        content = path.read_bytes()
        if content and not content.endswith(b"\n"):
            path.write_bytes(content[: content.rfind(b"\n") + 1])
    text = "".join(row.to_json() + "\n" for row in rows)
    with path.open("a", encoding="utf-8") as file:
        file.write(text)
