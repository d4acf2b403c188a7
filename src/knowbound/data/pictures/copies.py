"""The same picture twice: in two classes, or in two sets; by its bytes, or by its pixels."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from knowbound.data.pictures.folder import FolderRead
from knowbound.data.pictures.names import printable
from knowbound.errors import UserError

FINGERPRINT = 16
"""Hexadecimal digits of a fingerprint: two of a million pictures share one by chance once in
10^7 times."""


@dataclass(frozen=True)
class Copy:
    """A picture that is there before.

    Args:
        path: of the later one.
        first: path of the earlier one.
        same_bytes: whether the files are equal; else only their pixels, as the network takes them.
    """

    path: str
    first: str
    same_bytes: bool


def find_copies(first: FolderRead, second: FolderRead) -> list[Copy]:
    """One entry for each file of ``second`` whose picture is also in ``first``, in its order.

    Both must have been read with the same preprocessing, or only equal bytes are found.
    """
    by_bytes, by_pixels = _owners(first.file_sha256), _owners(first.pixel_sha256)
    found = []
    for path, file, pixels in zip(
        second.paths, second.file_sha256, second.pixel_sha256, strict=True
    ):
        earlier = by_bytes.get(file, by_pixels.get(pixels))
        if earlier is not None:
            found.append(Copy(path, first.paths[earlier], same_bytes=file in by_bytes))
    return found


def copy_groups(read: FolderRead) -> list[list[int]]:
    """The indices of the images that are one picture, two or more in each group, by first index.

    Pictures are one where their pixels are, as the network takes them.
    """
    groups: dict[str, list[int]] = {}
    for index, digest in enumerate(read.pixel_sha256):
        groups.setdefault(digest, []).append(index)
    return [group for group in groups.values() if len(group) > 1]


def fingerprints(read: FolderRead) -> list[str]:
    """A short name for each image's pixels, to be kept with a model; see ``find_seen``."""
    return sorted({digest[:FINGERPRINT] for digest in read.pixel_sha256})


def find_seen(read: FolderRead, seen: Iterable[str]) -> list[str]:
    """The paths of the pictures whose fingerprints are among those kept with a model that takes the
    same preprocessing."""
    known = frozenset(seen)
    return [
        path
        for path, digest in zip(read.paths, read.pixel_sha256, strict=True)
        if digest[:FINGERPRINT] in known
    ]


def refuse_two_classes(read: FolderRead) -> None:
    """Raises UserError, with all of them counted, where the same picture is in two classes: no
    network can tell them apart."""
    conflicts: list[tuple[int, int]] = []
    for group in copy_groups(read):
        other = [k for k in group if read.source.labels[k] != read.source.labels[group[0]]]
        conflicts += [(k, group[0]) for k in other]
    if not conflicts:
        return
    later, earlier = conflicts[0]
    names = read.source.class_names
    pairs = Counter(
        tuple(sorted((int(read.source.labels[a]), int(read.source.labels[b]))))
        for a, b in conflicts
    )
    most = [f"{names[a]} and {names[b]} {count:,}" for (a, b), count in pairs.most_common(3)]
    more = f", ... ({len(pairs) - 3:,} more pairs)" if len(pairs) > 3 else ""
    equal = sum(read.file_sha256[a] == read.file_sha256[b] for a, b in conflicts)
    raise UserError(
        f"{_pictures(len(conflicts))} also in another class ({_how(equal, len(conflicts))}; the "
        f"first: {printable(read.paths[later])} and {printable(read.paths[earlier])} hold the same "
        f"picture in two classes; by classes: {printable(', '.join(most))}{more}); remove the "
        "wrong ones"
    )


def refuse_overlap(
    inside: FolderRead, known: Path, outs: Sequence[FolderRead], folders: Sequence[Path]
) -> None:
    """Raises UserError, with all of them counted, where the same picture is both of a known class
    and an outlier: the network would be told both."""
    said = []
    for read, folder in zip(outs, folders, strict=True):
        copies = find_copies(inside, read)
        if copies:
            equal = sum(copy.same_bytes for copy in copies)
            said.append(
                f"{len(copies):,} of {len(read.paths):,} images of {printable(folder)} "
                f"({_how(equal, len(copies))}; the first: {printable(copies[0].path)} is "
                f"{printable(copies[0].first)})"
            )
    if said:
        raise UserError(
            f"images are also in {printable(known)}: {'; '.join(said)}; an outlier must be of none "
            "of the classes: remove them from one side"
        )


def _owners(digests: Sequence[str]) -> dict[str, int]:
    """The first index of each digest."""
    first: dict[str, int] = {}
    for index, digest in enumerate(digests):
        first.setdefault(digest, index)
    return first


def _pictures(count: int) -> str:
    return "1 picture is" if count == 1 else f"{count:,} pictures are"


def _how(equal: int, count: int) -> str:
    """How many files are equal, and how many only in their pixels."""
    if equal == count:
        return "byte for byte"
    if not equal:
        return "pixel for pixel"
    return f"{equal:,} byte for byte, {count - equal:,} pixel for pixel"
