"""The finished parts of a run, kept until its table is whole, so that a run that was killed goes on
where it was."""

import contextlib
import hashlib
import json
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from knowbound._version import __version__
from knowbound.data.pictures.parts import Part
from knowbound.errors import UserError
from knowbound.files import replace_file, sentence_for
from knowbound.files.lock import locked
from knowbound.files.own_output import check_overwrite
from knowbound.workflows.predict import COLUMNS, Counted, Judge, decide_together, predict_part
from knowbound.workflows.tables import (
    check_ending,
    join_tables,
    read_decisions,
    read_table,
    write_table,
)

FORMAT, FORMAT_VERSION = "knowbound-parts", 1
PLAN = "plan.json"
OURS = re.compile(r"\.?part-\d{6,}\.(\w+\.partial\.)?(csv|jsonl|parquet)|plan\.json")
"""Names of the files that a folder of parts holds; no other is ever removed."""


@dataclass(frozen=True)
class KeptParts:
    """A folder beside the table, with a table of its own for each part that is finished.

    Args:
        table: the one that becomes of them.
        folder: where they are.
        count: of all parts.
    """

    table: Path
    folder: Path
    count: int

    def path(self, number: int) -> Path:
        """The table of one part, which is there if and only if the part is finished."""
        return self.folder / f"part-{number:06d}{self.table.suffix}"

    def missing(self) -> list[int]:
        """The numbers of the parts that are not finished."""
        return [number for number in range(self.count) if not self.path(number).exists()]

    def rows(self) -> int:
        """How many rows the finished parts have."""
        finished = set(range(self.count)) - set(self.missing())
        return sum(1 for number in finished for _ in read_decisions(self.path(number)))

    def join(self, *, fdr: float | None = None, domain_threshold: float = math.inf) -> Counted:
        """Put all parts into the table, and remove them.

        Args:
            fdr: decide on all rows together, as ``decide_together``; None: keep what was decided.
            domain_threshold: an unknown picture is an anomaly if its domain score is above.

        Returns:
            The rows, by their decisions.

        Raises:
            UserError: the table cannot be written; the parts are still there.
        """
        paths = [self.path(number) for number in range(self.count)]
        counted = Counted()
        if fdr is None:
            join_tables(paths, self.table)
            counted.add(chain.from_iterable(map(read_decisions, paths)))
        else:
            rows = chain.from_iterable(map(read_table, paths))
            write_table(counted(decide_together(rows, fdr, domain_threshold)), self.table)
        _clear(self.folder)
        return counted


@contextmanager
def kept_parts(
    table: Path,
    parts: Sequence[Part],
    model: Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    inputs: Iterable[Path] = (),
) -> Iterator[KeptParts]:
    """The parts of a run, which no other run enters while the block lasts.

    Where the block ends early, finished parts stay; where there are none, nothing does.

    Args:
        table: to write, .csv, .jsonl or .parquet; the parts are in ``TABLE.parts`` beside it.
        parts: of the pictures.
        model: the folder or file of the model.
        resume: keep the parts that a run of the same model on the same pictures has finished.
        overwrite: replace a table that this program did not make, and drop such parts.
        inputs: files that are read; none of them is ever replaced.

    Raises:
        UserError: another ending, a table that may not be replaced, parts of another run or of one
            that was not to be resumed, or a place that cannot be written.
    """
    check_ending(table)
    place = Path(os.path.realpath(table))  # a link stays one
    check_overwrite(place, overwrite, inputs)
    if place.exists() and not place.is_file():
        raise UserError(f"{table} is no file; give the name of a table to write")
    folder = place.with_name(f"{place.name}.parts")
    wanted = _plan(parts, model)
    try:
        with locked(folder):
            _prepare(folder, wanted, table, resume=resume, overwrite=overwrite)
            kept = KeptParts(place, folder, len(parts))
            try:
                yield kept
            finally:
                if len(kept.missing()) == kept.count:
                    _clear(folder)
    finally:
        with contextlib.suppress(OSError):
            if not (folder / PLAN).exists():
                folder.rmdir()


def write_part(
    judge: Judge,
    part: Part,
    path: Path,
    *,
    decoders: int | None = None,
    on_row: Callable[[int], None] | None = None,
) -> int:
    """Judge a part and write its table, whole or not at all.

    Args:
        judge: a calibrated boundary, or an exported model.
        part: some of the pictures.
        path: of the table.
        decoders: threads that decode.
        on_row: called with 1 after every row.

    Returns:
        How many rows.

    Raises:
        UserError: it cannot be written.
    """
    return write_table(predict_part(judge, part, decoders=decoders), path, on_row)


def _plan(parts: Sequence[Part], model: Path) -> dict[str, object]:
    """What a run is: another with the same plan writes the same parts."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(json.dumps([type(part).__name__, *part.words]).encode())
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "knowbound": __version__,
        "columns": list(COLUMNS),
        "model_sha256": _model_hash(model),
        "parts": len(parts),
        "input_sha256": digest.hexdigest(),
    }


def _model_hash(model: Path) -> str:
    """Of the file; of a folder the description's, which holds that of the weights."""
    file = model / "model.json" if model.is_dir() else model
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise UserError(sentence_for(error, file, "read")) from error


def _prepare(
    folder: Path, wanted: dict[str, object], table: Path, *, resume: bool, overwrite: bool
) -> None:
    """Make the folder ready for a run: with the parts to keep and the plan, or with the plan
    alone."""
    found = _found(folder)
    if found is None:
        if any(not name.startswith(".knowbound") for name in os.listdir(folder)):
            raise UserError(
                f"{folder} is there already, and holds no parts of a table; move it away, or name "
                "another table"
            )
    elif resume:
        differs = [name for name, value in wanted.items() if found.get(name) != value]
        if differs:
            what = "another model" if "model_sha256" in differs else "other pictures"
            if "knowbound" in differs or "format_version" in differs:
                what = f"knowbound {found.get('knowbound')}, not {__version__}"
            raise UserError(
                f"the parts in {folder} are of {what}; give the same command again with --resume, "
                "or start again with --overwrite"
            )
        return
    elif not overwrite:
        raise UserError(
            f"there is a run in {folder} that was cut off; continue it with --resume, or start "
            "again with --overwrite"
        )
    _clear(folder)
    replace_file(folder / PLAN, (json.dumps(wanted, indent=2) + "\n").encode())


def _found(folder: Path) -> dict[str, object] | None:
    """The plan in a folder; None where there is none of ours."""
    try:
        found = json.loads((folder / PLAN).read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and found.get("format") == FORMAT else None


def _clear(folder: Path) -> None:
    """Remove what a run leaves in a folder of parts, the plan last."""
    names = [name for name in os.listdir(folder) if OURS.fullmatch(name)]
    for name in sorted(names, key=lambda name: name == PLAN):
        with contextlib.suppress(OSError):
            (folder / name).unlink()
