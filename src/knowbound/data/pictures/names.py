"""Names of files and classes: kept as written, compared in one Unicode form, escaped only where
they are shown."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path

# Characters that would move the cursor, end the line or turn the direction of what follows.
UNSHOWN = ("Cc", "Cs", "Zl", "Zp")
TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def printable(name: str | Path) -> str:
    """The name with line ends, other control characters and bytes that are no UTF-8 as backslash
    escapes; all other characters as written."""
    text = str(name)
    if text.isascii() and text.isprintable():
        return text
    return "".join(ascii(c)[1:-1] if _is_unshown(c) else c for c in text)


def storable(name: str | Path) -> str:
    """The name as written; only bytes that are no UTF-8, which no text file holds, as escapes."""
    text = str(name)
    if text.isascii():
        return text
    return text.encode("utf-8", "backslashreplace").decode()


def same_name(name: str) -> str:
    """The form in which names are compared: NFC, so that an accent may be one character or two."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def folded_name(name: str) -> str:
    """What is left of a name without case, width, spaces, hyphens and underscores."""
    return re.sub(r"[\s_\-]+", "", unicodedata.normalize("NFKC", name).casefold())


def look_alikes(names: Iterable[str]) -> list[tuple[str, ...]]:
    """The groups of names that differ only by case, spaces, hyphens, underscores or width."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(folded_name(name), []).append(name)
    return [tuple(group) for group in groups.values() if len(group) > 1]


def closest_name(name: str, names: Sequence[str]) -> str | None:
    """The name that was probably meant, or None where nothing is near."""
    folded = {folded_name(known): known for known in reversed(names)}
    near = get_close_matches(folded_name(name), list(folded), n=1, cutoff=0.8)
    return folded[near[0]] if near else None


def name_unknown(unknown: Sequence[str], known: Sequence[str], most: int = 5) -> str:
    """The unknown names in one line, each with the one that was probably meant: ``"D2" (did you
    mean "d2"?)``."""
    said = []
    for name in unknown[:most]:
        near = closest_name(name, known)
        hint = f' (did you mean "{printable(near)}"?)' if near is not None else ""
        said.append(f'"{printable(name)}"{hint}')
    more = f" and {len(unknown) - most:,} more" if len(unknown) > most else ""
    return ", ".join(said) + more


def natural_order(name: str) -> tuple[list[str | tuple[int, str]], str]:
    """A sorting key in which runs of digits count as numbers, and capitals do not count."""
    parts = re.split(r"(\d+)", name)
    numbers = (p.lstrip("0") for p in parts[1::2])
    key: list[str | tuple[int, str]] = [p.casefold() for p in parts]
    key[1::2] = [(len(n), n) for n in numbers]
    return key, name


def _is_unshown(character: str) -> bool:
    return unicodedata.category(character) in UNSHOWN or character in TURNING
