"""Files that could not be used, or were used with a remark; many of one kind in one line."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from knowbound.data.pictures.names import printable


@dataclass(frozen=True, slots=True)
class Problem:
    """One file that could not be used, or was used with a remark."""

    path: str | Path
    """As written, with what lies below; ``str(problem)`` escapes it for the terminal."""
    reason: str
    """One short sentence."""
    used: bool
    """True: read all the same (wrong extension; an animation, of which the first frame is used)."""

    def __str__(self) -> str:
        return f"{printable(self.path)}: {printable(self.reason)}"


@dataclass(frozen=True, slots=True)
class ProblemGroup:
    """Problems of one kind: how many, and the first of them."""

    count: int
    first: Problem
    suffix: str
    """The ending of their names, such as ".json"; "" where they have several, or none."""

    @property
    def used(self) -> bool:
        """Whether the files were read all the same."""
        return self.first.used

    def __str__(self) -> str:
        """One line: ``10,000 .json files left out, the first a/1.json: not a picture``."""
        if self.count == 1:
            return str(self.first)
        files = f"{self.suffix} files" if self.suffix else "files"
        fate = "used with a remark" if self.used else "left out"
        return f"{self.count:,} {printable(files)} {fate}, the first {self.first}"


def group_problems(problems: Iterable[Problem]) -> tuple[ProblemGroup, ...]:
    """The problems by kind, in the order in which each kind first comes.

    Two are of one kind where their reasons differ only in numbers and quoted words, both were used
    or both were not, and the files have the same ending.
    """
    groups: dict[tuple[str, bool, str], list[Problem]] = {}
    for problem in problems:
        suffix = Path(problem.path).suffix.lower()
        groups.setdefault((_kind(problem.reason), problem.used, suffix), []).append(problem)
    return tuple(
        ProblemGroup(len(group), group[0], suffix) for (_, _, suffix), group in groups.items()
    )


def _kind(reason: str) -> str:
    """The reason without what differs from file to file."""
    return re.sub(r"\d[\d.,]*", "#", re.sub(r"'[^']*'|\"[^\"]*\"", "''", reason))
