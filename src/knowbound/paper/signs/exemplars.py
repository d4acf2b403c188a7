"""Figure 2: one exemplar of each class, in three panels: in, seen out and unseen out."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from knowbound.data.preprocessing import to_picture
from knowbound.data.signs.crops import Crops
from knowbound.paper.signs.class_splits import ClassSplit

CELL = 72  # pixels of an exemplar
LABEL = 18  # pixels below it for its class code
GAP = 6
HEADING = 30
ROWS = 8
LARGE = 0.9  # of the largest crop's shorter side: what still counts as large


def exemplar_sheet(crops: Crops, split: ClassSplit) -> Image.Image:
    """Figure 2 as a picture: three panels side by side, in each class one training crop with its
    code below.

    Args:
        crops: training crops with the class names of the split, best read at 64 x 64 pixels or
            more.
        split: of the classes.
    """
    panels = [
        _panel(crops, f"In: {len(split.in_classes)} classes", split.in_classes),
        _panel(crops, f"Seen out: {len(split.seen)} classes", split.seen),
        _panel(crops, f"Unseen out: {len(split.unseen)} classes", split.unseen),
    ]
    sheet = Image.new("RGB", (sum(p.width for p in panels), panels[0].height), "white")
    left = 0
    for panel in panels:
        sheet.paste(panel, (left, 0))
        ImageDraw.Draw(sheet).line(
            [(left, 8), (left, panel.height - 8)], fill="#bbbbbb" if left else "white"
        )
        left += panel.width
    return sheet


def exemplar(crops: Crops, class_name: str) -> int:
    """The index of a class's clearest crop: large, typical and sharp.

    Large: the shorter side before resizing is at least 0.9 of the longest such side.  Typical: in
    the half of the large ones that is closest to the class's mean image, brightness and contrast
    aside, so that no sign is behind leaves.  Of these the sharpest, by ``sharpness``; ties go to
    the first.

    Args:
        crops: to choose from.
        class_name: of the class.

    Raises:
        ValueError: a class without a crop.
    """
    members = np.flatnonzero(crops.source.labels == crops.source.class_names.index(class_name))
    if not members.size:
        raise ValueError(f"class {class_name!r} has no crop to show; expected at least one")
    shorter = crops.sizes[members].min(axis=1)
    images = _standardised(crops.source.images(members))
    distance = np.square(images - images.mean(axis=0)).mean(axis=(1, 2, 3))
    large = np.flatnonzero(shorter >= LARGE * shorter.max())
    typical = members[large[distance[large] <= np.median(distance[large])]]
    return int(typical[np.argmax([sharpness(image) for image in crops.source.images(typical)])])


def sharpness(image: NDArray[np.uint8]) -> float:
    """Mean squared Laplacian of the grey image without its outer sixth, where the background is.

    Args:
        image: (C, H, W).
    """
    grey = image.astype(np.float64).mean(axis=0) / 255
    rows, columns = (slice(length // 6, length - length // 6) for length in grey.shape)
    grey = grey[rows, columns]
    laplacian = (
        4 * grey[1:-1, 1:-1] - grey[:-2, 1:-1] - grey[2:, 1:-1] - grey[1:-1, :-2] - grey[1:-1, 2:]
    )
    return float(np.mean(laplacian**2))


def _standardised(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Each image with mean 0 and standard deviation 1 over its channels and pixels (0 everywhere if
    it is flat)."""
    values = images.astype(np.float32)
    values -= values.mean(axis=(1, 2, 3), keepdims=True)
    values /= np.maximum(values.std(axis=(1, 2, 3), keepdims=True), 1)
    return values


def _panel(crops: Crops, title: str, names: tuple[str, ...]) -> Image.Image:
    columns = max(-(-len(names) // ROWS), 2)
    step = (CELL + GAP, CELL + LABEL + GAP)
    panel = Image.new("RGB", (columns * step[0] + 3 * GAP, HEADING + ROWS * step[1] + GAP), "white")
    draw = ImageDraw.Draw(panel)
    draw.text((2 * GAP, GAP), title, fill="black", font=ImageFont.load_default(16))
    for position, name in enumerate(names):
        row, column = divmod(position, columns)
        left, top = 2 * GAP + column * step[0], HEADING + row * step[1]
        index = exemplar(crops, name)
        picture = to_picture(crops.source.images(slice(index, index + 1))[0])
        panel.paste(picture.resize((CELL, CELL), Image.Resampling.BICUBIC), (left, top))
        middle = left + CELL // 2
        draw.text(
            (middle, top + CELL + LABEL // 2),
            name,
            fill="black",
            font=ImageFont.load_default(13),
            anchor="mm",
        )
    return panel
