"""A set that was split already: ``root/{train,val,test}/class/picture``."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from knowbound.data.pictures.names import natural_order, printable
from knowbound.data.pictures.system_files import is_skipped
from knowbound.errors import UserError
from knowbound.files import sentence_for

Part = Literal["train", "validation", "test"]
PARTS: Mapping[str, Part] = {
    "train": "train",
    "training": "train",
    "train_set": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
    "test_set": "test",
}


@dataclass(frozen=True)
class SplitFolders:
    """The parts of a split set, and what else lies beside them.

    Args:
        root: the folder that holds the parts.
        parts: the folder of each part that is there.
        classes: the names of the class folders of each part; none where it holds pictures alone.
        others: folders beside the parts, which are none.
    """

    root: Path
    parts: Mapping[Part, Path]
    classes: Mapping[Part, tuple[str, ...]]
    others: tuple[str, ...] = field(default=())

    @property
    def learned(self) -> Path | None:
        """The folder to learn from: the training part, if it is there."""
        return self.parts.get("train")

    @property
    def judged(self) -> Path | None:
        """The folder to evaluate on: the test part, else the validation part."""
        return self.parts.get("test") or self.parts.get("validation")

    def __str__(self) -> str:
        """What the folder is, and the commands that fit it."""
        names = ", ".join(printable(path.name) for path in self.parts.values())
        text = f"{printable(self.root)} holds the parts of a split set ({names}), not classes"
        if self.learned:
            text += f"; learn from one part: knowbound fit {_quoted(self.learned)}"
        if self.learned and self.judged:
            text += f", then: knowbound evaluate MODEL --known {_quoted(self.judged)}"
        return text


def split_folders(root: Path) -> SplitFolders | None:
    """The parts of ``root/{train,val,valid,test}/class``, or None where it is not such a folder.

    It is one where two folders or more have names of different parts and one of these holds
    folders.  One folder named "train" alone, or beside "bus" and "car", may well be a class:
    folders of other names make it a set of classes.

    Raises:
        UserError: for a folder that cannot be opened.
    """
    if not root.is_dir():
        return None
    inside = _folders(root)
    named: dict[Part, Path] = {}
    for folder in inside:
        part = PARTS.get(folder.name.lower().replace("-", "_"))
        if part is not None:
            named.setdefault(part, folder)
    others = tuple(folder.name for folder in inside if folder not in named.values())
    classes = {part: tuple(c.name for c in _folders(folder)) for part, folder in named.items()}
    if len(named) < 2 or len(others) >= len(named) or not any(classes.values()):
        return None
    ordered: dict[Part, Path] = {p: named[p] for p in PARTS.values() if p in named}
    return SplitFolders(root, ordered, classes, others)


def refuse_split_folders(root: Path) -> None:
    """Raises UserError, naming the right commands, where a folder of classes holds the parts of a
    split set instead."""
    found = split_folders(root)
    if found is not None:
        raise UserError(str(found))


def _folders(root: Path) -> list[Path]:
    try:
        inside = [p for p in root.iterdir() if not is_skipped(p.name) and p.is_dir()]
    except OSError as error:
        raise UserError(sentence_for(error, root, "read")) from error
    return sorted(inside, key=lambda path: natural_order(path.name))


def _quoted(path: Path) -> str:
    """The path as a shell takes it."""
    return shlex.quote(printable(path))
