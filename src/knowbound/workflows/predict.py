"""Verdicts for pictures: one row for each, whatever is wrong with it."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import chain, islice
from operator import attrgetter
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from knowbound.data.pictures.list_file import LISTS, STANDARD_INPUT
from knowbound.data.pictures.parts import Part, divide
from knowbound.data.pictures.picture_files import read_given
from knowbound.data.pictures.picture_lists import list_files, read_list
from knowbound.data.pictures.problems import Problem
from knowbound.data.preprocessing import Preprocessing
from knowbound.errors import UserError
from knowbound.judgement import Judgement, Verdict
from knowbound.judgement.false_discovery import check_fdr, verdicts_at_fdr
from knowbound.labels import Decision
from knowbound.values import JsonMapping


@dataclass(frozen=True, slots=True)
class Prediction:
    """The row of one file: what was said of its picture, or why nothing could be."""

    path: str
    verdict: Verdict | None
    """None where the file could not be read."""
    error: str = ""
    """Why the file has no verdict; empty where it has one."""
    remark: str = ""
    """What to know about a file that was read all the same, such as an animation of which the
    first frame was used."""

    def cells(self) -> tuple[str | float | None, ...]:
        """The values of the table's columns, in the order of ``COLUMNS``."""
        said = _said_by(self.verdict) if self.verdict else _NOTHING
        return (self.path, *said, self.error, self.remark)

    def row(self) -> dict[str, str | float | None]:
        """The columns of the table, by name."""
        return dict(zip(COLUMNS, self.cells(), strict=True))

    @classmethod
    def of_row(cls, row: JsonMapping) -> "Prediction":
        """The prediction whose ``row`` this is.

        Args:
            row: the columns by name; an empty text counts as None; numbers may be texts.
        """
        said = {name: row[_RENAMED.get(name, name)] for name in _SAID}
        verdict = None
        if said["decision"]:
            numbers = {name: float(said[name]) for name in NUMBERS}
            verdict = Verdict(
                decision=Decision(said["decision"]),
                class_name=said["class_name"] or None,
                nearest_class=said["nearest_class"] or "",
                **numbers,
            )
        return cls(row["path"], verdict, row["error"] or "", row["remark"] or "")


_SAID = tuple(field.name for field in fields(Verdict))
_RENAMED = {"decision": "verdict", "class_name": "class"}
_said_by = attrgetter(*_SAID)
_NOTHING = (None,) * len(_SAID)
COLUMNS = ("path", *(_RENAMED.get(name, name) for name in _SAID), "error", "remark")
"""Of the table: those of a ``Verdict`` between the path and what went wrong."""
NUMBERS = tuple(field.name for field in fields(Verdict) if field.type is float)
"""The columns that hold numbers."""


BATCH = 512
"""Pictures decoded and judged together."""


class Judge(Protocol):
    """What judges images: a ``Boundary``, or a model that was exported."""

    @property
    def preprocessing(self) -> Preprocessing:
        """How a picture becomes an image of the network's shape."""

    @property
    def domain_threshold(self) -> float:
        """An unknown image is an anomaly if its domain score is above."""

    def judge(self, images: NDArray[np.uint8], /) -> Judgement[Any]:
        """What is said of images.

        Args:
            images: (N, C, H, W) uint8 in the model's own shape.
        """

    def verdicts(self, judgement: Judgement[Any], /) -> list[Verdict]:
        """The judgement in words.

        Args:
            judgement: of N images.

        Returns:
            A verdict for each image.
        """


@dataclass(frozen=True, eq=False)
class Inputs:
    """The parts of the pictures to judge, in order, and what could not be used of the lists that
    name them."""

    parts: tuple[Part, ...]
    problems: tuple[Problem, ...] = ()

    @property
    def count(self) -> int | None:
        """How many pictures; None where an archive does not say before it is read."""
        counts = [part.count for part in self.parts]
        return None if None in counts else sum(count or 0 for count in counts)


def find_inputs(inputs: Sequence[str | Path], image_column: str | None = None) -> Inputs:
    """The pictures named, every file at any depth of the folders named, and every picture that the
    lists among them name; of archives and Parquet files what is in them.

    Args:
        inputs: pictures, folders, lists of pictures, zip and tar archives (WebDataset shards too),
            Parquet files; ``-`` is a list on standard input.
        image_column: of Parquet files; None to find it.

    Raises:
        UserError: something does not exist, a folder is empty, or a Parquet file has no column of
            pictures.
    """
    found: list[Path] = []
    named: set[Path] = set()
    problems: list[Problem] = []
    for given in map(Path, inputs):
        if given != STANDARD_INPUT and given.is_dir():
            inside = list_files(given)
            if not inside:
                raise UserError(f"{given} is an empty folder; expected pictures in it")
            found += inside
        elif given == STANDARD_INPUT or given.suffix.lower() in LISTS:
            listing = read_list(given)
            found += listing.files
            problems += listing.problems
        elif given.exists() or given.is_symlink():
            found.append(given)
            named.add(given)
        else:
            raise UserError(
                f"{given} does not exist; expected a picture, a folder of pictures, a list, an "
                "archive or a Parquet file"
            )
    return Inputs(tuple(divide(found, image_column, named)), tuple(problems))


def predict_parts(
    judge: Judge, parts: Iterable[Part], *, fdr: float | None = None
) -> Iterator[Prediction]:
    """A row for each picture, in order; see ``predict_part``.

    With ``fdr`` the rows of all pictures are kept, and the first comes when the last picture has
    been judged.

    Args:
        judge: a calibrated boundary, or an exported model.
        parts: of the pictures.
        fdr: decide on all pictures together, so that on average at most this share of those called
            unknown are known ones; None: each by the model's threshold.

    Raises:
        UserError: an ``fdr`` that is no share.
    """
    rows = chain.from_iterable(predict_part(judge, part) for part in parts)
    if fdr is None:
        return rows
    check_fdr(fdr)
    return decide_together(rows, fdr, judge.domain_threshold)


def decide_together(
    rows: Iterable[Prediction], fdr: float, domain_threshold: float
) -> Iterator[Prediction]:
    """The rows, kept and decided on together (``verdicts_at_fdr``).

    Args:
        rows: of all pictures, as the model's own threshold decided.
        fdr: share of known pictures among those called unknown, above 0 and below 1.
        domain_threshold: an unknown picture is an anomaly if its domain score is above.
    """
    kept = list(rows)
    said = verdicts_at_fdr([r.verdict for r in kept if r.verdict], fdr, domain_threshold)
    decided = iter(said)
    for row in kept:
        yield replace(row, verdict=next(decided)) if row.verdict else row


def predict_part(judge: Judge, part: Part, *, decoders: int | None = None) -> Iterator[Prediction]:
    """A row for each picture of a part, in order.

    Decoding and judging go on batch by batch, so memory does not grow with the pictures.  Batches
    begin with the part, so its rows do not depend on what is judged before, or where.

    Args:
        judge: a calibrated boundary, or an exported model.
        part: some of the pictures.
        decoders: threads that decode, by default one for each core up to 8.

    Yields:
        A prediction, also for a picture that cannot be read.
    """
    pictures = read_given(part.pictures(), judge.preprocessing, workers=decoders)
    while batch := list(islice(pictures, BATCH)):
        images = [image for _, image, _ in batch if image is not None]
        verdicts = iter(judge.verdicts(judge.judge(np.stack(images))) if images else ())
        for path, image, remark in batch:
            if image is None:
                yield Prediction(str(path), None, error=remark)
            else:
                yield Prediction(str(path), next(verdicts), remark=remark)


class Counted:
    """Counts verdicts as rows pass, and says them in words."""

    def __init__(self) -> None:
        self.counts = {"known": 0, "novelty": 0, "anomaly": 0, "error": 0}

    def __call__(self, rows: Iterable[Prediction]) -> Iterator[Prediction]:
        """The rows as they come."""
        for row in rows:
            self.counts[str(row.verdict.decision) if row.verdict else "error"] += 1
            yield row

    def add(self, words: Iterable[str]) -> None:
        """Count rows that have passed before.

        Args:
            words: what each says, "" where there is no verdict.
        """
        for word, count in Counter(words).items():
            self.counts[word or "error"] += count

    @property
    def total(self) -> int:
        """All rows."""
        return sum(self.counts.values())

    def __str__(self) -> str:
        known, novelties, anomalies, errors = self.counts.values()
        summary = f"{known} known, {novelties} novelties, {anomalies} anomalies"
        unreadable = f", {errors} that could not be read" if errors else ""
        files = "file" if self.total == 1 else "files"
        return f"{self.total} {files}: {summary}{unreadable}"
