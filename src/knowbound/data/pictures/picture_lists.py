"""Which files a folder, or a list of pictures, names, and of which classes: nothing is opened but
the list."""

import os
import stat
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from knowbound.data.pictures.list_file import LISTS, STANDARD_INPUT, ListText, read_text
from knowbound.data.pictures.list_place import Place, find_place
from knowbound.data.pictures.names import (
    look_alikes,
    natural_order,
    printable,
    same_name,
    storable,
)
from knowbound.data.pictures.problems import Problem
from knowbound.data.pictures.system_files import Skipped, is_skipped
from knowbound.errors import UserError
from knowbound.files import sentence_for


@dataclass
class Listing:
    """The files of a folder, each with its class name ("" where there are no classes), and what
    lies outside any class.

    Class names are as written; two that Unicode holds for the same are one class, under the first
    of its names.
    """

    files: list[Path] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)
    class_names: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    @property
    def class_counts(self) -> dict[str, int]:
        """How many files each class has, in the order of the class names."""
        counts = Counter(self.classes)
        return {name: counts[name] for name in self.class_names}


def list_files(folder: Path) -> list[Path]:
    """Every file at any depth, in natural order, without hidden files and folders and those that
    system programs leave (``system_files``).

    Links are followed, but below one entry of ``folder`` (a class) no folder is read twice, so
    loops end.  Broken links are in the list, and so is a folder that cannot be opened: reading them
    tells why.
    """
    return _sorted_files(folder, Skipped())


def list_pictures(folder: Path, classes: bool) -> Listing:
    """What a folder holds (``class/.../picture`` where ``classes``), or what a list of pictures
    names (``read_list``).

    Class names are in natural order: 9 before 10.

    Raises:
        UserError: for what is missing, empty, without class folders, or neither a folder nor a
            list.
    """
    try:
        mode = os.stat(folder).st_mode
    except FileNotFoundError:
        raise UserError(
            f"{printable(folder)} does not exist; expected a folder of pictures, or a list of them"
        ) from None
    except (OSError, ValueError) as error:
        raise UserError(sentence_for(error, folder, "read")) from error
    if stat.S_ISDIR(mode):
        listing = _list_folder(folder, classes)
    elif folder.suffix.lower() in LISTS and stat.S_ISREG(mode):
        listing = read_list(folder, classes=classes)
    else:
        raise UserError(
            f"{printable(folder)} is a file; expected a folder of pictures, or a list of them "
            f"({', '.join(LISTS)})"
        )
    listing.class_names = sorted({*listing.class_names, *listing.classes} - {""}, key=natural_order)
    listing.problems += [
        Problem(
            storable(folder),
            f"the classes {', '.join(map(repr, names))} are taken as {len(names)}, though their "
            "names differ only by case, spaces or hyphens",
            used=True,
        )
        for names in look_alikes(listing.class_names)
    ]
    return listing


def describe_classes(counts: Mapping[str, int], most: int = 12) -> str:
    """The number of classes and images, and the images of each class, in one line.

    Of more than ``most`` classes only the largest and the smallest are named, half of each.
    """
    total = sum(counts.values())
    head = (
        f"{len(counts):,} {'class' if len(counts) == 1 else 'classes'}, "
        f"{total:,} {'image' if total == 1 else 'images'}"
    )
    if not counts:
        return head
    if len(counts) <= most:
        return f"{head}: {_counted(counts.items())}"
    by_size = sorted(counts.items(), key=lambda item: -item[1])
    half = most // 2
    left_out = len(counts) - 2 * half
    return (
        f"{head}: {_counted(by_size[:half])}, ... ({left_out:,} more), {_counted(by_size[-half:])}"
    )


def read_list(file: Path, *, classes: bool = False) -> Listing:
    """The pictures that a list names.

    A list is a text file with one picture in each line: ``path`` or ``path,class``, with a comma,
    semicolon, tab, bar or space between, ``#`` before a comment.  A first line may name the
    columns (``image_id,label``); then there may be more of them.  Paths are relative to the list's
    folder, written with / or \\.  UTF-8, UTF-16 and the usual code pages are told apart.

    Args:
        file: the list.
        classes: whether each line must give a class; where False, classes are not read.

    Raises:
        UserError: for a file that is no text, or names no picture that can be used.
    """
    text = read_text(file)
    if classes and text.class_column is None:
        raise UserError(
            f"the columns of {printable(file)} name no class; expected one called class or label"
        )
    paths = [_part(line.fields, text.path_column) for line in text.lines]
    place = find_place(paths, file.parent)
    listing, seen = Listing(), dict[Path, str]()
    names: dict[str, str] = {}
    for line, given in zip(text.lines, paths, strict=True):
        path = place.find(given)
        name = _part(line.fields, text.class_column) if classes else ""
        if name and same_name(seen.get(path, name)) != same_name(name):
            raise UserError(
                f"line {line.number} of {_named(file)} names {printable(given)} as "
                f"{printable(name)}, an earlier line as {printable(seen[path])}; no network can "
                "tell them apart: keep one of the lines"
            )
        reason = _line_problem(text, line.fields, given, classes, name, path in seen)
        if reason:
            where = str(path) if given else str(file)
            reason = f"line {line.number} of {_named(file)} {reason}"
            listing.problems.append(Problem(storable(where), reason, used=False))
            continue
        seen[path] = name
        listing.files.append(path)
        listing.classes.append(names.setdefault(same_name(storable(name)), storable(name)))
    if not listing.files:
        raise UserError(_names_nothing(file, text, listing.problems, classes))
    listing.problems += _remarks(file, text, place)
    return listing


def _sorted_files(folder: Path, skipped: Skipped) -> list[Path]:
    order = cache(natural_order)  # the names of folders come again and again
    depth = len(folder.parts)
    return sorted(
        _walk(folder, skipped), key=lambda path: [order(part) for part in path.parts[depth:]]
    )


def _walk(top: Path, skipped: Skipped) -> Iterator[Path]:
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
            path = folder / name
            if is_skipped(name):
                skipped.add(path)
            elif os.path.isdir(path):  # False for a link to itself, where a DirEntry would raise
                below = (path, {here} if folder is top else seen)
                # A linked folder comes after the others, so that a file is named by its own place.
                if path.is_symlink():
                    waiting.append(below)
                else:
                    waiting.appendleft(below)
            else:
                yield path


def _list_folder(folder: Path, classes: bool) -> Listing:
    skipped = Skipped()
    files = _sorted_files(folder, skipped)
    if files == [folder]:
        raise UserError(f"{printable(folder)} cannot be opened; check that you may read it")
    if not classes:
        if not files:
            raise UserError(f"{printable(folder)} is an empty folder; expected pictures in it")
        return Listing(files, [""] * len(files), problems=list(skipped.problems(folder)))
    listing = Listing(problems=list(skipped.problems(folder)))
    names = _class_folders(folder)
    if not names:
        found = "has files but no folders in it" if files else "is an empty folder"
        raise UserError(
            f"{printable(folder)} {found}; expected one folder for each class, with its pictures "
            "in it"
        )
    listing.class_names = list(dict.fromkeys(names.values()))
    depth = len(folder.parts)
    for path in files:
        parts = path.parts
        if len(parts) > depth + 1 or path.is_dir():
            listing.files.append(path)
            listing.classes.append(names[parts[depth]])
        else:
            reason = "lies beside the class folders, not in one"
            listing.problems.append(Problem(storable(path), reason, used=False))
    return listing


def _class_folders(folder: Path) -> dict[str, str]:
    """The class name of each folder in a folder; the same for names that are one in Unicode."""
    found = sorted(p.name for p in folder.iterdir() if not is_skipped(p.name) and p.is_dir())
    names: dict[str, str] = {}
    return {name: names.setdefault(same_name(storable(name)), storable(name)) for name in found}


def _part(fields: tuple[str, ...], column: int | None) -> str:
    return "" if column is None or column >= len(fields) else fields[column]


def _line_problem(
    text: ListText,
    fields: tuple[str, ...],
    path: str,
    classes: bool,
    name: str,
    again: bool,
) -> str:
    if len(fields) > text.columns:
        expected = "path or path,class" if text.columns == 2 else f"{text.columns} as in line 1"
        return f"has {len(fields)} parts; expected {expected} (a path with a comma in quotes)"
    if not path:
        return "has no path"
    if path.lower().startswith(("http://", "https://", "s3://", "gs://")):
        return "is an address, not a file; download it first"
    if classes and not name:
        return "gives no class"
    return "names it again; only its first line counts" if again else ""


def _names_nothing(file: Path, text: ListText, problems: list[Problem], classes: bool) -> str:
    first = f"; the first problem: {problems[0].reason}" if problems else ""
    expected = "path,class" if classes else "path"
    return (
        f"{_named(file, whole=True)} names no picture that can be used{first}; expected {expected} in each "
        f"line (it was read as {text.reading})"
    )


def _named(file: Path, *, whole: bool = False) -> str:
    """The list in a sentence, with its folder where ``whole``."""
    if file == STANDARD_INPUT:
        return "standard input"
    return printable(file if whole else file.name)


def _remarks(file: Path, text: ListText, place: Place) -> list[Problem]:
    """What was assumed of a list that is not written as the documentation has it."""
    said = []
    if not text.encoding.startswith("utf"):
        said.append(f"it is no UTF-8 and was read as {text.encoding}")
    if place.leading or place.folder != file.parent:
        folders = "folder" if place.leading == 1 else f"{place.leading} folders"
        leading = f", without their first {folders}" if place.leading else ""
        said.append(f"its paths were found in {printable(place.folder.absolute())}{leading}")
    if place.suffixes != ("",):
        said.append("its paths have no ending and were found with one, such as .jpg")
    return [Problem(storable(file), reason, used=True) for reason in said]


def _counted(items: Iterable[tuple[str, int]]) -> str:
    return ", ".join(f"{printable(name)} {count:,}" for name, count in items)
