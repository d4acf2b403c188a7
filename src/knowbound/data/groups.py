"""Which images belong together, and must stay on one side of every hold-out: copies, near copies,
and the frames of one track, the pictures of one folder, the images of one patient."""

import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from knowbound.data.copies import Fingerprints, fingerprints, near_pairs
from knowbound.data.source import Source
from knowbound.errors import UserError

By = str | Sequence[object] | None
"""How images are grouped beside copies: see ``group_images``."""
NUMBERED = re.compile(r"(?P<track>.*?)[ _.\-]*(?P<frame>\d+)")
"""A name without its ending: ``00012_00007`` is frame 7 of the track 00012."""
EXPORTED = re.compile(r"\.rf\.[0-9a-fA-F]{16,}$")
"""What Roboflow appends to each changed copy of one original."""
LEAST_TRACKS, LONGEST = 8, 0.5
"""Tracks that a class must have for its names to convince, and the share of it that one may be."""
MATCHED, SHARED, REGULAR = 0.9, 0.8, 0.5
"""Shares of a class's names: with a number, in a track of two or more, and of the steps between
neighbouring numbers those of the commonest length."""
EXAMPLES = 3


@dataclass(frozen=True, eq=False)
class Groups:
    """The group of each of N images, and how it came about."""

    ids: NDArray[np.int64]
    """(N,) 0..G-1, numbered in the order of their first images."""
    copies: int
    """Images with the same pixels as an earlier one."""
    near_copies: int
    """Images nearly equal to an earlier one, beside the copies."""
    rule: str
    """What joined the images, in a sentence."""
    examples: tuple[tuple[str, str], ...]
    """Up to three pairs of nearly equal images, or else of equal ones, by path or number."""

    @property
    def count(self) -> int:
        """Number of groups."""
        return int(self.ids.max()) + 1 if len(self.ids) else 0


def group_images(
    source: Source,
    paths: Sequence[str] | None = None,
    by: By = "auto",
    *,
    prints: Fingerprints | None = None,
) -> Groups:
    """The group of every image: equal and nearly equal images together, and those that ``by`` joins.

    Args:
        source: N images; their labels tell in which classes names look like tracks.
        paths: (N,) where each image is from; needed for every rule on names and folders.
        by: None or ``none``: copies alone.  ``auto``: also tracks, in the classes whose names
            convince (``00012_00007.png``: track 00012, frame 7).  ``name``: tracks in every class,
            convincing or not.  ``folder``: the parent folder.  Any other text: a regular expression
            searched in the file's name, whose first group (or whole match) is the group.  A
            sequence: a value for each image, None or an empty text for an image on its own.
        prints: what ``fingerprints`` gave for this source, where it is known already.

    Raises:
        UserError: a regular expression that is none or matches no name, a rule on names without
            paths, no name with a number under ``name``, or not one value for each image.
    """
    if paths is not None and len(paths) != len(source):
        raise UserError(
            f"{len(paths)} paths were given for {len(source)} images; expected one for each"
        )
    prints = fingerprints(source) if prints is None else prints
    pairs = near_pairs(prints, source.labels)
    keys, said = _keys(source, paths, by)
    everyone = np.arange(len(source))
    equal = np.stack([prints.first, everyone], axis=1)
    copies = int((prints.first != everyone).sum())
    alike = _join(len(source), equal, pairs)
    near_copies = len(source) - copies - (int(alike.max()) + 1 if len(alike) else 0)
    ids = _join(len(source), equal, pairs, _chain(keys))
    return Groups(
        ids,
        copies,
        near_copies,
        _sentence(copies, near_copies, said, ids),
        _examples(paths, pairs, equal),
    )


def _keys(source: Source, paths: Sequence[str] | None, by: By) -> tuple[Sequence[object], str]:
    """(a value for each image, None for one on its own; what they are, in words)."""
    if by is None or by == "none" or (by == "auto" and paths is None):
        return [None] * len(source), ""
    if not isinstance(by, str):
        return _column(by, len(source))
    if paths is None:
        raise UserError(
            f"images were to be grouped by {by!r}, but they have no names; give a sequence with a "
            "value for each image"
        )
    if by == "folder":
        return [str(Path(path).parent) for path in paths], "images of one folder belong together"
    if by in ("auto", "name"):
        return _tracks(source, paths, sure=by == "name")
    return _matches(by, paths)


def _column(values: Sequence[object], count: int) -> tuple[list[object], str]:
    if len(values) != count:
        raise UserError(
            f"{len(values)} groups were given for {count} images; expected one value for each, "
            "empty for an image on its own"
        )
    keys = [None if _empty(value) else value for value in values]
    alone = sum(key is None for key in keys)
    said = "images with one value of the given column belong together"
    return keys, said + (f" ({alone} have none and are on their own)" if alone else "")


def _empty(value: object) -> bool:
    return value is None or value != value or (isinstance(value, str) and not value.strip())


def _matches(pattern: str, paths: Sequence[str]) -> tuple[list[object], str]:
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise UserError(
            f"images were to be grouped by {pattern!r}, which is no regular expression ({error}); "
            "expected auto, none, folder, name, or one such as '^([0-9]+)_'"
        ) from error
    found = [expression.search(Path(path).name) for path in paths]
    keys = [match and match.group(1 if expression.groups else 0) for match in found]
    alone = sum(key is None for key in keys)
    if alone == len(keys) and keys:
        raise UserError(
            f"images were to be grouped by {pattern!r}, which is in none of {len(paths)} names "
            f"(the first: {Path(paths[0]).name}); expected auto, none, folder, name, or a regular "
            "expression that names have"
        )
    said = f"names with one value of {pattern!r} belong together"
    return keys, said + (f" ({alone} do not have it and are on their own)" if alone else "")


def _tracks(source: Source, paths: Sequence[str], *, sure: bool) -> tuple[list[object], str]:
    """Folder and track of each name; with ``sure`` in every class, else where it convinces."""
    folder = cache(Path)
    names = [_split(path, folder) for path in paths]
    stems = [EXPORTED.sub("", name.stem) for name in names]
    keys: list[object] = [
        (name.folder, stem, "export") if stem != name.stem else None
        for name, stem in zip(names, stems, strict=True)
    ]
    exported = sum(key is not None for key in keys)
    matches = [NUMBERED.fullmatch(stem) for stem in stems]
    if sure and not exported and not any(matches) and names:
        raise UserError(
            f"images were to be grouped by name, but no name ends with a number (the first: "
            f"{names[0].name}); expected names such as 00012_00007.png, or a regular expression"
        )
    example, taken = "", []
    for label in np.unique(source.labels):
        members = np.flatnonzero(source.labels == label)
        tracks = _class_tracks([names[i].folder for i in members], [matches[i] for i in members])
        if sure or _convinces(tracks):
            taken.append(int(label))
            for i, track in zip(members, tracks, strict=True):
                if track is not None:
                    keys[i] = track[:2]
                    example = example or f"{names[i].name} is image {track[2]} of {track[1] or '-'}"
    said = []
    if taken and example:
        where = len(np.unique(source.labels))
        said.append(
            f"names are read as track and number in {len(taken)} of {where} classes ({example})"
        )
    if exported:
        said.append(f"{exported} names are exported copies of an original")
    return keys, " and ".join(said)


class _Name(NamedTuple):
    """A path, as ``Path`` takes it apart: its parent, its name, and the name without the ending."""

    folder: Path
    name: str
    stem: str


def _split(path: str, folder: Callable[[str], Path]) -> _Name:
    """folder: gives the same object for all pictures of a folder; one for each would take longer
    than all else."""
    head, name = os.path.split(path)
    if name in ("", "."):
        whole = Path(path)
        return _Name(whole.parent, whole.name, whole.stem)
    dot = name.rfind(".")
    return _Name(folder(head), name, name[:dot] if 0 < dot < len(name) - 1 else name)


Track = tuple[Path, str, int]


def _class_tracks(
    folders: Sequence[Path], matches: Sequence[re.Match[str] | None]
) -> list[Track | None]:
    return [
        match and (folder, match["track"], int(match["frame"]))
        for folder, match in zip(folders, matches, strict=True)
    ]


def _convinces(tracks: Sequence[Track | None]) -> bool:
    """Whether the names of a class are those of tracks: many prefixes, hardly one alone, and
    numbers that go up in equal steps."""
    known = [track for track in tracks if track is not None]
    sizes = Counter(track[:2] for track in known)
    if len(sizes) < LEAST_TRACKS or len(known) < MATCHED * len(tracks):
        return False
    shared = sum(size for size in sizes.values() if size > 1)
    if shared < SHARED * len(tracks) or max(sizes.values()) > LONGEST * len(tracks):
        return False
    ordered = sorted(known)
    steps = Counter(
        later[2] - earlier[2]
        for earlier, later in pairwise(ordered)
        if later[:2] == earlier[:2] and later[2] > earlier[2]
    )
    return bool(steps) and max(steps.values()) >= REGULAR * sum(steps.values())


def _chain(keys: Sequence[object]) -> NDArray[np.int64]:
    """(P, 2) pairs that join all images of one key, None aside."""
    last: dict[object, int] = {}
    pairs = []
    for index, key in enumerate(keys):
        if key is not None:
            if key in last:
                pairs.append((last[key], index))
            last[key] = index
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def _join(count: int, *pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """(count,) the connected part that each of ``count`` images is in, numbered by first image."""
    every = np.concatenate(pairs)
    graph = coo_array((np.ones(len(every), bool), (every[:, 0], every[:, 1])), (count, count))
    _, parts = connected_components(graph, directed=False)
    _, first, part = np.unique(parts, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[part]


def _sentence(copies: int, near: int, said: str, ids: NDArray[np.int64]) -> str:
    parts = []
    if copies:
        parts.append(
            f"{copies} {'image is a copy' if copies == 1 else 'images are copies'} of another"
        )
    if near:
        parts.append(f"{near} {'is' if near == 1 else 'are'} nearly equal to another")
    if said:
        parts.append(said)
    groups = int(ids.max()) + 1 if len(ids) else 0
    what = "; ".join(parts) if parts else "no copies were found"
    return f"{what}: {len(ids)} images in {groups} groups"


def _examples(
    paths: Sequence[str] | None, near: NDArray[np.int64], equal: NDArray[np.int64]
) -> tuple[tuple[str, str], ...]:
    pairs = [*near[:EXAMPLES], *equal[equal[:, 0] != equal[:, 1]][:EXAMPLES]][:EXAMPLES]
    name = (lambda i: f"image {i}") if paths is None else (lambda i: paths[i])
    return tuple((name(one), name(other)) for one, other in pairs)
