"""Where the paths of a list lead, when they were written for another folder or another computer."""

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from knowbound.data.pictures.list_file import SAMPLE, SUFFIXES, exists
from knowbound.data.pictures.names import natural_order
from knowbound.data.pictures.system_files import is_skipped


@dataclass(frozen=True)
class Place:
    """Where the paths of a list lead, when they do not lead anywhere as they are.

    Args:
        folder: in which they begin.
        leading: parts at their beginning that are left out.
        suffixes: endings, one of which is added; ("",) for none.
        slashes: whether "\\" stands for "/".
    """

    folder: Path
    leading: int = 0
    suffixes: tuple[str, ...] = ("",)
    slashes: bool = False

    def find(self, path: str) -> Path:
        """The file that a path of the list means, there or not."""
        plain = path.replace("\\", "/") if self.slashes else path
        if self.leading:
            plain = "/".join(_parts(plain)[self.leading :])
        found = self.folder / plain
        if self.suffixes == ("",) and plain.isascii():
            return found
        forms = [plain] if plain.isascii() else _unicode_forms(plain)
        places = (self.folder / (form + suffix) for form in forms for suffix in self.suffixes)
        return next((place for place in places if exists(place)), found)


def find_place(paths: Sequence[str], folder: Path) -> Place:
    """Where the paths of a list lead: in the list's folder as they are, if one of the first exists
    there.

    Else where most of the first exist: with "/" for "\\", in the working directory or in a folder
    beside the list, with an ending such as .jpg, or without the parts at their beginning, which are
    of another computer.
    """
    sample = [path for path in paths[:SAMPLE] if path]
    plain = Place(folder)
    if any(exists(plain.find(path)) for path in sample):
        mixed = any("\\" in path and not exists(plain.find(path)) for path in sample)
        return replace(plain, slashes=mixed)
    best, most = plain, 0
    for place in _places(sample, folder):
        count = sum(exists(place.find(path)) for path in sample)
        if count > most:
            best, most = place, count
        if most == len(sample):
            break
    return best


def _places(sample: Sequence[str], folder: Path) -> Iterator[Place]:
    slashes = any("\\" in path for path in sample)
    folders = [folder, Path(), *_folders_in(folder)]
    depth = max((len(_parts(path.replace("\\", "/"))) for path in sample), default=1)
    endings: list[tuple[str, ...]] = [("",)]
    if not any(path.lower().endswith(SUFFIXES) for path in sample):
        endings.append((*SUFFIXES, *(suffix.upper() for suffix in SUFFIXES)))
    for suffixes in endings:
        for base in folders:
            yield Place(base, 0, suffixes, slashes)
        for leading in range(1, min(depth, 12)):
            for base in folders:
                yield Place(base, leading, suffixes, slashes)


def _folders_in(folder: Path, most: int = 50) -> list[Path]:
    try:
        inside = [p for p in folder.iterdir() if not is_skipped(p.name) and p.is_dir()]
    except OSError:
        return []
    return sorted(inside, key=lambda path: natural_order(path.name))[:most]


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]


def _unicode_forms(path: str) -> list[str]:
    """The path as written, and as systems write it that take accents together or apart."""
    return [path, unicodedata.normalize("NFC", path), unicodedata.normalize("NFD", path)]
