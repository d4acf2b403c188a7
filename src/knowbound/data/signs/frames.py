"""Full frames: a picture not yet cut, and the boxes of what is annotated in it."""

import io
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from knowbound.errors import UserError


def _no_boxes() -> NDArray[np.float64]:
    return np.empty((0, 4))


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame, decoded only when asked for.

    name: its id; content: the file, or its bytes;
    boxes: (S, 4) float64, xmin, ymin, xmax, ymax of each annotated sign in pixels.
    """

    name: str
    content: Path | bytes
    boxes: NDArray[np.float64] = field(default_factory=_no_boxes)

    def picture(self) -> Image.Image:
        """The decoded picture.  Raises OSError (and what else Pillow raises) where it cannot be
        read."""
        with Image.open(
            self.content if isinstance(self.content, Path) else io.BytesIO(self.content)
        ) as picture:
            picture.load()
            return picture


def camvid_frames(path: Path) -> tuple[Frame, ...]:
    """The road frames of CamVid, sorted by name: every JPEG or PNG of a zip file or of a folder,
    without annotations.

    A few traffic lights and small signs are in them and nothing says where.
    Raises UserError where ``path`` has no frame.
    """
    frames: list[Frame] = []
    if path.is_dir():
        frames = [
            Frame(file.stem, file) for file in sorted(path.iterdir()) if _is_picture(file.name)
        ]
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names = sorted(filter(_is_picture, archive.namelist()))
            frames = [Frame(Path(name).stem, archive.read(name)) for name in names]
    if not frames:
        raise UserError(
            f"{path} holds no .jpg or .png frame; expected camvid_frames.zip, also unpacked"
        )
    return tuple(frames)


def _is_picture(name: str) -> bool:
    return Path(name).suffix.lower() in (".jpg", ".jpeg", ".png") and not Path(
        name
    ).name.startswith(".")
