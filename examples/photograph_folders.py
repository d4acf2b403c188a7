"""Photographs of clothing as plain folders, to walk through docs/clothing.md with.

Run with:  python examples/photograph_folders.py clothing.zip walk

Of the classes in ``KNOWN`` it writes 40 photographs each to walk/train/<class> and the others to
walk/test/<class>; the photographs of all other classes go to walk/new/<class>.
"""

import sys
import zipfile
from pathlib import Path, PurePosixPath

KNOWN = ("hat", "outwear", "pants", "shoes", "shorts")
LEARNED = 40


def main(archive: Path, output: Path) -> dict[str, int]:
    """Write the folders; how many pictures each got."""
    counts: dict[str, int] = {}
    ranks: dict[str, int] = {}
    with zipfile.ZipFile(archive) as pictures:
        for name in map(PurePosixPath, sorted(pictures.namelist())):
            if name.suffix != ".jpg":
                continue
            kind = name.parts[-2]
            rank = ranks[kind] = ranks.get(kind, -1) + 1
            known = "train" if rank < LEARNED else "test"
            part = known if kind in KNOWN else "new"
            place = output / part / kind / name.name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(pictures.read(str(name)))
            counts[part] = counts.get(part, 0) + 1
    return counts


if __name__ == "__main__":
    for folder, count in main(Path(sys.argv[1]), Path(sys.argv[2])).items():
        print(f"{count:6,} pictures in {folder}")
