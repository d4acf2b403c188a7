"""Full frames: a picture not yet cut, and the boxes of what is annotated in it."""

from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from knowbound.data.pictures.names import printable
from knowbound.data.pictures.picture_files import open_picture
from knowbound.data.pictures.picture_pack import AGAIN, PicturePack, open_pack
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

    @property
    def path(self) -> Path:
        """Its file, or its name where it came out of an archive."""
        return self.content if isinstance(self.content, Path) else Path(self.name)

    def picture(self) -> Image.Image:
        """The decoded picture.

        Raises:
            UnreadableImageError: where it cannot be read.
        """
        content = None if isinstance(self.content, Path) else self.content
        return open_picture(self.path, content=content)[0]


def camvid_frames(path: Path) -> tuple[Frame, ...]:
    """The road frames of CamVid, sorted by name, without annotations.

    A few traffic lights and small signs are in them and nothing says where.

    Args:
        path: a zip file or a folder; every JPEG or PNG in it is a frame.

    Raises:
        UserError: there is no frame, or a damaged archive.
    """
    pack = open_pack(path) if path.exists() else None
    names = pack.pictures() if pack else []
    if pack is None or not names:
        raise UserError(
            f"{printable(path)} holds no .jpg or .png frame; expected camvid_frames.zip, also "
            "unpacked"
        )
    contents = dict(pack.contents(frozenset(names)))
    return tuple(Frame(name.stem, _content(pack, name, contents[name])) for name in names)


def _content(pack: PicturePack, name: PurePosixPath, content: bytes | str | None) -> Path | bytes:
    if isinstance(content, str):
        raise UserError(f"{printable(pack.place / name)} is {content}; {AGAIN}")
    return pack.place / name if content is None else content
