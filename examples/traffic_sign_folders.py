"""Real traffic signs as plain folders, to walk through docs/tutorial.md with: one folder for
each part they play.

Run with:  python examples/traffic_sign_folders.py tt100k_crops.zip walk

It writes walk/signs/<class> (to learn), walk/background and walk/other_signs (outliers to show in
training), and for later walk/test/<class> (known), walk/new_signs (classes nobody taught) and
walk/road (no signs at all).
"""

import sys
import zipfile
from pathlib import Path, PurePosixPath

from knowbound.paper.signs.class_splits import class_split


def main(archive: Path, output: Path) -> dict[str, int]:
    """Write the folders; how many pictures each got.  No frame gives pictures to both sides of
    training and test."""
    split = class_split(restricted=True)
    parts = {
        "train": {
            **dict.fromkeys(split.in_classes, "signs"),
            **dict.fromkeys(split.seen, "other_signs"),
            "negative": "background",
        },
        "test": {
            **dict.fromkeys(split.in_classes, "test"),
            **dict.fromkeys(split.unseen, "new_signs"),
            "negative": "road",
        },
    }
    counts: dict[str, int] = {}
    with zipfile.ZipFile(archive) as crops:
        names = [PurePosixPath(name) for name in crops.namelist() if name.endswith(".png")]
        tested = {name.stem.split("_")[0] for name in names if name.parts[-3] == "test"}
        for name in names:
            part, kind = name.parts[-3], name.parts[-2]
            folder = parts[part].get(kind)
            if folder is None or (part == "train" and name.stem.split("_")[0] in tested):
                continue
            place = output / folder / (kind if folder in ("signs", "test") else "")
            place.mkdir(parents=True, exist_ok=True)
            (place / f"{kind}-{name.name}").write_bytes(crops.read(str(name)))
            counts[folder] = counts.get(folder, 0) + 1
    return counts


if __name__ == "__main__":
    for folder, count in main(Path(sys.argv[1]), Path(sys.argv[2])).items():
        print(f"{count:6,} pictures in {folder}")
