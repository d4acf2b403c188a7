"""What operating systems, storage servers and tools leave in a folder of pictures, which no one
meant to be learned."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from knowbound.data.pictures.problems import Problem

LEFT_BEHIND = frozenset(
    {
        # Synology, QNAP and other storage servers: thumbnails, recycle bins, snapshots
        "@eadir", ".@__thumb", "@recycle", "#recycle", "#snapshot", "@tmp", "@sharebin",
        "@recently-snapshot", ".@upload_cache",
        # Windows
        "thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "$recycle.bin", "recycler",
        "recycled", "system volume information",
        # macOS
        "__macosx", ".ds_store", ".appledouble", "icon\r", ".fseventsd", ".spotlight-v100",
        ".temporaryitems", ".documentrevisions-v100",
        # Linux, notebooks, photo programs
        "lost+found", ".ipynb_checkpoints", "__pycache__", ".thumbnails", ".picasa.ini",
        "picasa.ini", ".picasaoriginals", ".nomedia",
    }
)  # fmt: skip
BEGINNINGS = ("._", ".trash", "~$")


def is_left_behind(name: str) -> bool:
    """Whether a file or folder of this name is left by a system program, and no one's picture."""
    lower = name.lower()
    return lower in LEFT_BEHIND or lower.startswith(BEGINNINGS)


def is_skipped(name: str) -> bool:
    """Whether a file or folder of this name is passed over: hidden, or left by a program."""
    return name.startswith(".") or is_left_behind(name)


@dataclass
class Skipped:
    """What was passed over in a folder: how many of each name, the files in them, and the first."""

    names: Counter[str] = field(default_factory=Counter)
    files: int = 0
    hidden: int = 0
    first: Path | None = None

    def add(self, path: Path) -> None:
        """Count one file or folder that is passed over, with all files below a folder."""
        if is_left_behind(path.name):
            self.first = self.first or path
            shown = next((b for b in BEGINNINGS if path.name.lower().startswith(b)), None)
            self.names[f"{shown}*" if shown else path.name] += 1
        else:
            self.hidden += 1
        is_folder = path.is_dir() and not path.is_symlink()
        self.files += sum(len(files) for _, _, files in os.walk(path)) if is_folder else 1

    def problems(self, folder: Path) -> Sequence[Problem]:
        """One problem with the numbers of all; none where nothing was passed over."""
        names = [f"{name} ({count:,})" for name, count in self.names.most_common()]
        if self.hidden:
            names.append(f"names that begin with a dot ({self.hidden:,})")
        if not names:
            return ()
        files = "1 file" if self.files == 1 else f"{self.files:,} files"
        what = "what system programs left" if self.names else "what is hidden"
        reason = f"skipped {what}, {files} in all: {', '.join(names)}"
        return (Problem(str(folder), reason, used=False),)
