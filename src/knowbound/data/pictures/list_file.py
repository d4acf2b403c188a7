"""A list of pictures as people write it: its encoding, separator and header."""

import codecs
import csv
import os
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from knowbound.data.pictures.names import printable
from knowbound.errors import UserError
from knowbound.files import sentence_for

LISTS = (".txt", ".csv", ".tsv", ".lst")
STANDARD_INPUT = Path("-")
"""Stands for a list on standard input, whose paths are relative to the working directory."""
SUFFIXES = (
    ".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".gif", ".webp", ".avif", ".heic", ".jp2",
    ".pgm", ".ppm",
)  # fmt: skip
SEPARATORS = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars", " ": "spaces"}
ENCODINGS = ("cp1252", "utf-8", "cp1251", "cp932", "gb18030", "big5", "cp949", "mac_roman")
"""Tried where the bytes are no UTF-8; "utf-8" stands for names of files that are not either."""
BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}  # UTF-32's begins with UTF-16's, so it comes first
PATH_COLUMNS = (
    "path", "file_path", "filepath", "image_path", "img_path", "relative_path", "filename",
    "file_name", "image_file", "image_name", "file", "image", "img", "picture", "photo", "image_id",
    "imageid", "id", "name",
)  # fmt: skip
CLASS_COLUMNS = (
    "class", "class_name", "classname", "label_name", "label", "labels", "category", "target",
    "species", "class_id", "label_id", "category_id", "y",
)  # fmt: skip
SAMPLE = 50
"""Lines on which the separator and the place of the paths are judged."""


@dataclass(frozen=True)
class Line:
    """One line of a list: its number from 1 on, and its parts."""

    number: int
    fields: tuple[str, ...]


@dataclass(frozen=True)
class ListText:
    """A list taken apart.

    Args:
        lines: without comments, empty lines and the names of the columns.
        path_column: which part of a line is the path.
        class_column: which part is the class, or None where the header names none.
        columns: parts a line may have: as many as the header names, else two.
        encoding: of the file.
        separator: a key of ``SEPARATORS``, or "" where each line is one path.
    """

    lines: tuple[Line, ...]
    path_column: int
    class_column: int | None
    columns: int
    encoding: str
    separator: str

    @property
    def reading(self) -> str:
        """How the file was read, for a sentence: ``UTF-8, separated by commas``."""
        parts = SEPARATORS.get(self.separator)
        name = "UTF-8" if self.encoding.startswith("utf-8") else self.encoding
        return f"{name}, {f'separated by {parts}' if parts else 'one path in each line'}"


def read_text(file: Path) -> ListText:
    """The list in a text file.

    The encoding is the one its byte order mark names, else UTF-8, else the one of ``ENCODINGS`` in
    which most of its paths exist.  The separator is the one in which most of its paths exist, or
    end as pictures do.

    Raises:
        UserError: for a file that cannot be read, or is no text.
    """
    try:
        content = sys.stdin.buffer.read() if file == STANDARD_INPUT else file.read_bytes()
    except (OSError, ValueError) as error:
        raise UserError(
            f"{sentence_for(error, file, 'read')}; expected a list of pictures"
        ) from error
    best: tuple[tuple[int, int], ListText] | None = None
    for encoding, text in _decoded(content, file):
        separator, score = _choose_separator(_lines(text), file.parent)
        if best is None or score > best[0]:
            best = score, _take_apart(text, encoding, separator, file.parent)
    assert best is not None  # _decoded gives one text at least
    return best[1]


def _decoded(content: bytes, file: Path) -> Iterator[tuple[str, str]]:
    """The texts that the bytes may be, the likeliest first, each with its encoding."""
    for mark, encoding in BYTE_ORDER_MARKS.items():
        if content.startswith(mark):
            yield encoding, _no_text_if_broken(content, encoding, file)
            return
    if b"\0" in content[:1000]:
        even, odd = content[0:1000:2].count(0), content[1:1000:2].count(0)
        encoding = "utf-16-le" if odd > even else "utf-16-be"
        if max(even, odd) < 4 * max(1, min(even, odd)):
            raise UserError(_no_text(file))
        yield encoding, _no_text_if_broken(content, encoding, file)
        return
    try:
        yield "utf-8", content.decode("utf-8")
    except UnicodeDecodeError:
        for encoding in ENCODINGS:
            errors = "surrogateescape" if encoding == "utf-8" else "strict"
            try:
                yield encoding, content.decode(encoding, errors)
            except UnicodeDecodeError:
                continue


def _no_text_if_broken(content: bytes, encoding: str, file: Path) -> str:
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise UserError(_no_text(file)) from error
    return text


def _no_text(file: Path) -> str:
    return (
        f"{printable(file)} is no text; expected a list of pictures: path or path,class in each "
        "line"
    )


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines that say something, with their numbers from 1 on."""
    for number, line in enumerate(re.split(r"\r\n|\r|\n", text), start=1):
        if line.strip() and not line.lstrip().startswith("#"):
            yield number, line


def _choose_separator(
    lines: Iterator[tuple[int, str]], folder: Path
) -> tuple[str, tuple[int, int]]:
    """The separator under which most paths of the first lines exist, and how many: (that exist,
    that end as pictures do)."""
    sample = [line for _, line in islice(lines, SAMPLE)]
    if not sample:
        return ",", (0, 0)
    for separator in SEPARATORS:
        if _header(_fields(sample[0], separator), folder) and separator in sample[0]:
            fields = [_fields(line, separator) for line in sample[1:]]
            return separator, _count_paths([f[0] for f in fields], folder)
    scores = {
        separator: _count_paths([_fields(line, separator)[0] for line in sample], folder)
        for separator in (*SEPARATORS, "")
    }
    best = max(scores.values())
    if best > (0, 0):
        return next(separator for separator, score in scores.items() if score == best), best
    common = [
        s for s in ("\t", ",", ";", "|") if sum(s in line for line in sample) * 2 > len(sample)
    ]
    return (common[0] if common else ","), best


def _count_paths(paths: Sequence[str], folder: Path) -> tuple[int, int]:
    existing = sum(exists(folder / path.replace("\\", "/")) for path in paths)
    return existing, sum(path.lower().endswith(SUFFIXES) for path in paths)


def _fields(line: str, separator: str) -> list[str]:
    """The parts of a line; one at least.  Of a line with spaces the last word is a part."""
    if not separator:
        return [line.strip()]
    if separator == " " and not line.lstrip().startswith('"'):
        return line.strip().rsplit(None, 1)
    try:
        parts = next(csv.reader([line], delimiter=separator, skipinitialspace=True), [""])
    except csv.Error:  # a part too long to be anyone's path
        parts = [line]
    return [part.strip() for part in parts] or [""]


def _take_apart(text: str, encoding: str, separator: str, folder: Path) -> ListText:
    lines = [Line(number, tuple(_fields(line, separator))) for number, line in _lines(text)]
    header = _header(lines[0].fields, folder) if lines else None
    path_column, class_column = header or (0, 1)
    return ListText(
        tuple(lines[1:] if header else lines),
        path_column,
        class_column,
        columns=max(2, len(lines[0].fields)) if header else 2,
        encoding=encoding,
        separator=separator,
    )


def _header(fields: Sequence[str], folder: Path) -> tuple[int, int | None] | None:
    """Which column is the path and which the class, where the fields name columns; else None."""
    names = [field.strip().lower().replace(" ", "_").replace("-", "_") for field in fields]
    path = next((names.index(name) for name in PATH_COLUMNS if name in names), None)
    if path is None or exists(folder / fields[path]):
        return None
    label = next((names.index(name) for name in CLASS_COLUMNS if name in names), None)
    if label is None and len(names) == 2:
        label = 1 - path
    return path, label


def exists(path: Path) -> bool:
    """Whether something of that name is there, a broken link too."""
    try:
        return os.path.lexists(path)
    except ValueError:  # a null byte
        return False
