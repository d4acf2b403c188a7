"""Small pictures, and sets of them as a folder, zip or tar file, for the tests of the readers."""

import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from PIL import Image

FORMS = ("", ".zip", ".tar", ".tar.gz", ".tgz")


def png(red: int, width: int = 4, height: int = 4, kind: str = "PNG") -> bytes:
    """A picture of one colour, (red, 0, 0)."""
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (red, 0, 0)).save(buffer, kind)
    return buffer.getvalue()


def write_pack(folder: Path, name: str, form: str, files: Mapping[str, bytes]) -> Path:
    """The files as ``folder/name`` in one of the forms."""
    path = folder / f"{name}{form}"
    if form == ".zip":
        with zipfile.ZipFile(path, "w") as packed:
            for file, content in files.items():
                packed.writestr(file, content)
    elif form:
        with tarfile.open(path, "w" if form == ".tar" else "w:gz") as archive:
            for file, content in files.items():
                member = tarfile.TarInfo(f"./{file}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    else:
        for file, content in files.items():
            (path / file).parent.mkdir(parents=True, exist_ok=True)
            (path / file).write_bytes(content)
    return path
