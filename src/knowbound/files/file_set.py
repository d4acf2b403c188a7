"""Several files of one folder that belong together, replaced in one step."""

import contextlib
import hashlib
import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from knowbound.files.replacing import replace_file

HASH_DIGITS = 16
"""Of a part's stored name: enough that no two contents share one by chance."""
LOOKS = 50
"""How often a reader looks again where the set was replaced under its eyes."""


def replace_files(
    folder: Path,
    index: str,
    parts: Mapping[str, bytes],
    describe: Callable[[Mapping[str, str]], bytes],
) -> dict[str, str]:
    """Put files in place in one step: a reader (``read_files``) sees the old set or the new, never
    a mix.

    Each part is stored under a name that carries the hash of its content, such as
    ``model-0123456789abcdef.safetensors``, beside the one in use.  Then the index, which names the
    parts, is replaced whole: that is the step.  Last, older parts are removed, but for those of the
    set before, which someone may just be reading.  A run that is killed leaves the old set in use
    or the new one; parts that it leaves besides are removed by the next.

    Args:
        folder: is made where it is missing.
        index: name of the file that names the others, such as ``model.json``.
        parts: content of each part by its plain name, such as ``model.safetensors``.
        describe: from the stored name of each part, by its plain name, to the index's content.

    Returns:
        The stored name of each part, by its plain name.

    Raises:
        UserError: naming the path, where the disk is full or the place cannot be written.
    """
    stored = {name: hashed_name(name, content) for name, content in parts.items()}
    older = _stored_names(folder, parts)
    in_use = {name for name in older if name.encode() in _content(folder / index)}
    for name, content in parts.items():
        if _content(folder / stored[name]) != content:
            replace_file(folder / stored[name], content)
    replace_file(folder / index, describe(stored))
    for name in older - in_use - set(stored.values()):
        with contextlib.suppress(OSError):  # someone has it open: the next save removes it
            (folder / name).unlink()
    return stored


def read_files(
    folder: Path, index: str, names: Callable[[bytes], Iterable[str]]
) -> tuple[bytes, dict[str, bytes]]:
    """The index of a folder and the files it names, all of one save, even while another process
    saves.

    Args:
        folder: that ``replace_files`` filled.
        index: name of the file that names the others.
        names: from the index's content to the stored names of the parts; what it raises is raised
            here.

    Returns:
        The index's content, and the content of each part by its stored name.

    Raises:
        OSError: where the index cannot be read, or a part that it still names after looking again.
    """
    content = (folder / index).read_bytes()
    for _ in range(LOOKS):
        try:
            return content, {name: (folder / name).read_bytes() for name in names(content)}
        except FileNotFoundError:
            before, content = content, (folder / index).read_bytes()
            if content == before:
                raise
    return content, {name: (folder / name).read_bytes() for name in names(content)}


def hashed_name(name: str, content: bytes) -> str:
    """The name with the beginning of the content's SHA-256 before its ending."""
    stem, ending = os.path.splitext(name)
    return f"{stem}-{hashlib.sha256(content).hexdigest()[:HASH_DIGITS]}{ending}"


def _stored_names(folder: Path, parts: Iterable[str]) -> set[str]:
    """The stored names of these parts, of any content, that are in the folder."""
    split = [os.path.splitext(part) for part in parts]
    digits = f"-[0-9a-f]{{{HASH_DIGITS}}}"
    patterns = [f"{re.escape(stem)}{digits}{re.escape(ending)}" for stem, ending in split]
    found = os.listdir(folder) if folder.is_dir() else []
    return {name for name in found if any(re.fullmatch(pattern, name) for pattern in patterns)}


def _content(path: Path) -> bytes:
    """The bytes of a file; none where there is no such file."""
    try:
        return path.read_bytes()
    except OSError:
        return b""
