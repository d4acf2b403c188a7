"""Which files a folder, or a list of pictures, names, and of which classes: nothing is opened but
the list."""

import csv
import os
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from knowbound.errors import UserError

LISTS = (".txt", ".csv", ".tsv", ".lst")
MADE_BY_SYSTEMS = ("thumbs.db", "desktop.ini")


@dataclass(frozen=True, slots=True)
class Problem:
    """One file that could not be used, or was used with a remark."""

    path: str | Path
    """As given, with what lies below; from a folder always a ``str`` that can be printed, control
    characters escaped."""
    reason: str
    """One short sentence."""
    used: bool
    """True: read all the same (wrong extension; an animation, of which the first frame is used)."""


@dataclass
class Listing:
    """The files of a folder, each with its class name ("" where there are no classes), and what
    lies outside any class."""

    files: list[Path] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)
    class_names: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def list_files(folder: Path) -> list[Path]:
    """Every file at any depth, in natural order, without hidden files and folders, Thumbs.db and
    desktop.ini.

    Links are followed, but below one entry of ``folder`` (a class) no folder is read twice, so
    loops end.  Broken links are in the list, and so is a folder that cannot be opened: reading them
    tells why.
    """
    return sorted(
        _walk(folder),
        key=lambda path: [natural_order(part) for part in path.relative_to(folder).parts],
    )


def list_pictures(folder: Path, classes: bool) -> Listing:
    """What a folder holds (``class/.../picture`` where ``classes``), or what a list of pictures
    names.

    A list is a .txt, .csv, .tsv or .lst file with ``path`` or ``path,class`` (or a tab between) in
    each line, paths relative to the list's folder, ``#`` before a comment.  Class names are in
    natural order: 9 before 10. Raises UserError for what is missing, empty, without class folders,
    or neither a folder nor a list.
    """
    if folder.is_dir():
        listing = _list_folder(folder, classes)
    elif not folder.exists():
        raise UserError(
            f"{printable(folder)} does not exist; expected a folder of pictures, or a list of them"
        )
    elif folder.suffix.lower() in LISTS and folder.is_file():
        listing = _read_list(folder, classes)
    else:
        raise UserError(
            f"{printable(folder)} is a file; expected a folder of pictures, or a list of them "
            f"({', '.join(LISTS)})"
        )
    listing.class_names = sorted({*listing.class_names, *listing.classes} - {""}, key=natural_order)
    return listing


def printable(path: str | Path) -> str:
    """The path with line ends, other control characters and bytes that are no UTF-8 as backslash
    escapes."""
    return "".join(c if c.isprintable() or c == "\u3000" else ascii(c)[1:-1] for c in str(path))


def natural_order(name: str) -> tuple[list[str | tuple[int, str]], str]:
    """A sorting key in which runs of digits count as numbers, and capitals do not count."""
    parts = re.split(r"(\d+)", name)
    numbers = (p.lstrip("0") for p in parts[1::2])
    key: list[str | tuple[int, str]] = [p.casefold() for p in parts]
    key[1::2] = [(len(n), n) for n in numbers]
    return key, name


def _walk(top: Path) -> Iterator[Path]:
    first: set[tuple[int, int]] = set()
    waiting = deque([(top, first)])
    while waiting:
        folder, seen = waiting.popleft()
        try:
            status = folder.stat()
            here = (status.st_dev, status.st_ino)
            names = [] if here in seen else sorted(os.listdir(folder))
        except OSError:
            yield folder
            continue
        seen.add(here)
        for name in names:
            if name.startswith(".") or name.lower() in MADE_BY_SYSTEMS:
                continue
            path = folder / name
            if os.path.isdir(path):  # False for a link to itself, where a DirEntry would raise
                below = (path, {here} if folder is top else seen)
                if (
                    path.is_symlink()
                ):  # after the folders themselves, so that a file is named by its own place
                    waiting.append(below)
                else:
                    waiting.appendleft(below)
            else:
                yield path


def _list_folder(folder: Path, classes: bool) -> Listing:
    files = list_files(folder)
    if files == [folder]:
        raise UserError(f"{printable(folder)} cannot be opened; check that you may read it")
    if not classes:
        if not files:
            raise UserError(f"{printable(folder)} is an empty folder; expected pictures in it")
        return Listing(files, [""] * len(files))
    listing = Listing()
    listing.class_names = [
        printable(p.name) for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")
    ]
    if not listing.class_names:
        found = "has files but no folders in it" if files else "is an empty folder"
        raise UserError(
            f"{printable(folder)} {found}; expected one folder for each class, with its pictures "
            "in it"
        )
    for path in files:
        first, *below = path.relative_to(folder).parts
        if below or path.is_dir():
            listing.files.append(path)
            listing.classes.append(printable(first))
        else:
            listing.problems.append(
                Problem(printable(path), "lies beside the class folders, not in one", used=False)
            )
    return listing


def _read_list(file: Path, classes: bool) -> Listing:
    try:
        text = file.read_text(encoding="utf-8-sig", errors="surrogateescape")
    except OSError as error:
        raise UserError(
            f"{printable(file)} cannot be read ({error.strerror}); expected a list of pictures"
        ) from error
    if "\0" in text:
        raise UserError(
            f"{printable(file)} is no text; expected a list of pictures: path or path,class in "
            "each line"
        )
    listing, seen = Listing(), set()
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        fields = [
            part.strip()
            for part in next(csv.reader([line], delimiter="\t" if "\t" in line else ","))
        ]
        if number == 1 and fields in (["path"], ["path", "class"]):
            continue  # the names of the columns
        path = file.parent / fields[0]
        reason = _line_problem(fields, classes, path in seen)
        if reason:
            where = printable(path) if fields[0] else printable(file)
            listing.problems.append(
                Problem(where, f"line {number} of {printable(file.name)} {reason}", used=False)
            )
            continue
        seen.add(path)
        listing.files.append(path)
        listing.classes.append(printable(fields[1]) if classes else "")
    if not listing.files:
        first = f"; the first problem: {listing.problems[0].reason}" if listing.problems else ""
        line = "path,class" if classes else "path"
        raise UserError(
            f"{printable(file)} names no picture that can be used{first}; expected {line} in each "
            "line"
        )
    return listing


def _line_problem(fields: list[str], classes: bool, again: bool) -> str:
    if len(fields) > 2:
        return (
            f"has {len(fields)} parts; expected path or path,class (a path with a comma in quotes)"
        )
    if not fields[0]:
        return "has no path"
    if classes and (len(fields) < 2 or not fields[1]):
        return "gives no class"
    return "names it again; only its first line counts" if again else ""
