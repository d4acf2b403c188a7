"""Tsinghua-Tencent 100K as published: full frames in ``train/`` and ``test/``, and a JSON file of
annotations."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from knowbound.data.pictures.picture_files import UnreadableImageError
from knowbound.data.pictures.problems import Problem
from knowbound.data.preprocessing import Preprocessing
from knowbound.data.signs.crops import Crop, collect_crops
from knowbound.data.signs.frames import Frame
from knowbound.data.signs.tsinghua import Part, TsinghuaCrops
from knowbound.errors import UserError
from knowbound.values import JsonObject

Box = tuple[int, int, int, int]


@dataclass(frozen=True, eq=False)
class AnnotatedFrames:
    """The frames of one part whose files are there, and what could not be used.

    frames: with the boxes of their signs; categories: for each frame the category of each of its
    boxes; types: the categories the annotations declare.
    """

    frames: tuple[Frame, ...]
    categories: tuple[tuple[str, ...], ...]
    types: tuple[str, ...]
    problems: tuple[Problem, ...]


def read_tsinghua_frames(
    root: Path, part: Part, preprocessing: Preprocessing, annotations: str = "annotations.json"
) -> TsinghuaCrops:
    """The signs of one part, cut out of the full frames by their boxes; no background (see
    ``background_patches``).

    The class names are the declared types, in their order.  A box is rounded to whole pixels and
    cut at the frame.  Missing or unreadable frames, boxes that are empty, inverted or outside, and
    undeclared categories are named in ``problems``, one for each, and the rest is read.

    Args:
        root: the folder with the annotations, ``train/`` and ``test/``.
        part: of the set.
        preprocessing: how a sign becomes an image.
        annotations: name of the file.

    Raises:
        UserError: as ``list_tsinghua_frames`` raises it.
    """
    listed = list_tsinghua_frames(root, part, annotations)
    problems = list(listed.problems)
    crops: list[Crop] = []
    for frame, categories in zip(listed.frames, listed.categories, strict=True):
        try:
            picture = frame.picture()
        except UnreadableImageError as error:
            problems.append(
                Problem(
                    frame.path,
                    f"not a readable picture ({error}); {_signs(len(categories))} lost",
                    used=False,
                )
            )
            continue
        for cut in _cut_signs(frame, categories, listed.types, picture, preprocessing):
            if isinstance(cut, Problem):
                problems.append(cut)
            else:
                crops.append(cut)
    signs = collect_crops(crops, f"Tsinghua {part}", listed.types, preprocessing)
    return TsinghuaCrops(signs, collect_crops([], "Background", (), preprocessing), tuple(problems))


def list_tsinghua_frames(
    root: Path, part: Part, annotations: str = "annotations.json"
) -> AnnotatedFrames:
    """The frames of one part with the boxes of their signs, nothing decoded yet.

    A frame's part is the first folder of its path.  A box that is no four numbers, empty or
    inverted and a frame that is missing are named in ``problems``.

    Args:
        root: the folder with the annotations, ``train/`` and ``test/``.
        part: of the set.
        annotations: name of the file.

    Raises:
        UserError: the annotations are missing, are not in the official layout, or name no frame of
            that part; or not one of its frames is there.
    """
    content = _read_annotations(root / annotations)
    frames: list[Frame] = []
    categories: list[tuple[str, ...]] = []
    problems: list[Problem] = []
    entries = sorted(
        _entries(content["imgs"], part, root / annotations, problems), key=lambda entry: entry[:2]
    )
    for path, identifier, objects in entries:
        if not (root / path).is_file():
            problems.append(
                Problem(
                    root / path, f"the frame is missing; {_signs(len(objects))} lost", used=False
                )
            )
            continue
        boxes = list(_boxes(objects, root / path, problems))
        frames.append(
            Frame(identifier, root / path, np.array([box for _, box in boxes]).reshape(-1, 4))
        )
        categories.append(tuple(category for category, _ in boxes))
    if not frames:
        raise UserError(
            f"{root / annotations} names {len(entries)} frames under {part}/ and none of them is "
            f"in {root}; expected the official folders train/ and test/ beside the annotations"
        )
    return AnnotatedFrames(
        tuple(frames), tuple(categories), tuple(map(str, content["types"])), tuple(problems)
    )


def _read_annotations(path: Path) -> JsonObject:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path} cannot be read as JSON ({error}); expected the official annotations file"
        ) from error
    layout = (
        isinstance(content, dict)
        and isinstance(content.get("imgs"), dict)
        and isinstance(content.get("types"), list)
    )
    if not layout:
        raise UserError(
            f"{path} lacks 'imgs' (frames by their id) or 'types' (a list of categories); "
            "expected the official layout"
        )
    return dict(content)


def _entries(
    imgs: JsonObject, part: Part, file: Path, problems: list[Problem]
) -> Iterator[tuple[str, str, list[Any]]]:
    """Path, id and objects of each frame of the part; an entry without a usable path or objects is
    named."""
    for identifier, entry in imgs.items():
        path = entry.get("path") if isinstance(entry, dict) else None
        objects = entry.get("objects", []) if isinstance(entry, dict) else None
        parts = PurePosixPath(path).parts if isinstance(path, str) else ()
        if (
            not parts
            or not isinstance(objects, list)
            or ".." in parts
            or PurePosixPath(*parts).is_absolute()
        ):
            problems.append(
                Problem(
                    file,
                    f"frame {identifier} has no path inside this folder or no list of objects",
                    used=False,
                )
            )
        elif parts[0] == part:
            yield str(PurePosixPath(*parts)), str(identifier), objects


def _boxes(
    objects: list[Any], path: Path, problems: list[Problem]
) -> Iterator[tuple[str, list[float]]]:
    """Category and xmin, ymin, xmax, ymax of each sign; what is no box is named."""
    for position, sign in enumerate(objects):
        try:
            category = str(sign["category"])
            box = [float(sign["bbox"][side]) for side in ("xmin", "ymin", "xmax", "ymax")]
        except (KeyError, TypeError, ValueError):
            problems.append(
                Problem(
                    path, f"sign {position} has no category or no box of four numbers", used=False
                )
            )
            continue
        if box[0] < box[2] and box[1] < box[3] and bool(np.isfinite(box).all()):
            yield category, box
        else:
            problems.append(
                Problem(
                    path,
                    f"sign {position} ({category}) has the empty or inverted box {box}",
                    used=False,
                )
            )


def _cut_signs(
    frame: Frame,
    categories: tuple[str, ...],
    types: tuple[str, ...],
    picture: Image.Image,
    preprocessing: Preprocessing,
) -> Iterator[Crop | Problem]:
    """The crop of each sign, and a problem for each that could not be cut or not wholly."""
    for category, box in zip(categories, frame.boxes.tolist(), strict=True):
        left, top, right, bottom = whole = _whole_pixels(box)
        clipped = (
            max(left, 0),
            max(top, 0),
            min(right, picture.width),
            min(bottom, picture.height),
        )
        size = (clipped[3] - clipped[1], clipped[2] - clipped[0])
        bounds = f"the frame of {picture.width} x {picture.height} pixels"
        if category not in types:
            yield Problem(frame.path, f"category {category!r} is not among the types", used=False)
            continue
        if min(size) < 1:
            yield Problem(
                frame.path, f"the box {box} of {category} lies outside {bounds}", used=False
            )
            continue
        if clipped != whole:
            yield Problem(
                frame.path,
                f"the box {box} of {category} leaves {bounds} and was cut at its edge",
                used=True,
            )
        yield Crop(preprocessing(picture.crop(clipped)), types.index(category), frame.name, size)


def _whole_pixels(box: list[float]) -> Box:
    """The box rounded to whole pixels, at least one pixel wide and high."""
    left, top = round(box[0]), round(box[1])
    return left, top, max(round(box[2]), left + 1), max(round(box[3]), top + 1)


def _signs(count: int) -> str:
    return f"{count} sign" if count == 1 else f"{count} signs"
