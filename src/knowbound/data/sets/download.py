"""Official files fetched when asked for: checked, continued after an interruption, and never
without being asked."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from knowbound.errors import UserError

ATTEMPTS = 5  # in one call; a broken connection is taken up again as long as new bytes arrive
WAIT = 1.0  # seconds before the connection is taken up again
TIMEOUT = 30.0  # seconds without any answer
CHUNK = 1 << 18  # bytes between two reports of progress

Progress = Callable[[str, int, int | None], None]
"""Called with the file's name, the bytes there so far, and the bytes in all (None where the server
does not say)."""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file as its makers publish it.  checksum: ``md5:...`` or ``sha256:...``, in hexadecimal."""

    name: str
    url: str
    checksum: str


def home(root: Path, name: str) -> Path:
    """The folder of a data set: ``root`` where it has that name itself, else ``root/name``.

    Args:
        root: where data sets are kept.
        name: of the set.
    """
    return root if root.name == name else root / name


def find_or_fetch(
    file: RemoteFile,
    folders: Sequence[Path],
    into: Path,
    *,
    also: Sequence[str] = (),
    download: bool = False,
    progress: Progress | None = None,
) -> Path:
    """A file in the first of some folders that has it, else fetched.

    Args:
        file: the official one.
        folders: where to look.
        into: where it is fetched to.
        also: other names of files that serve as well.
        download: whether to fetch it.
        progress: called while it is fetched.

    Raises:
        UserError: it is nowhere, or cannot be fetched.
    """
    for folder in folders:
        for name in (file.name, *also):
            if (folder / name).is_file():
                return folder / name
    if download:
        return fetch(file, into, progress)
    names = " or ".join((file.name, *also))
    raise UserError(
        f"{names} was not found in {', '.join(map(str, folders))}; "
        f"give the folder that holds it, or add --download to fetch it from {file.url}"
    )


def user_cache() -> Path:
    """The user's cache folder for this package, where the system keeps such folders."""
    import pooch

    return Path(pooch.os_cache("knowbound"))


def fetch(file: RemoteFile, folder: Path, progress: Progress | None = None) -> Path:
    """A file, downloaded and checked; without a request where it is there with the right checksum.

    What has arrived is stored in ``<name>.part`` until the file is whole, and the next call
    continues from there.

    Args:
        file: address, name and checksum.
        folder: where it goes.
        progress: called while it is fetched.

    Raises:
        UserError: there is no network or no such file, the checksum is wrong (the download is then
            removed), or the folder cannot be written.
    """
    import pooch
    import requests

    def resume(_url: str, whole: str, _pooch: object) -> None:
        part = folder / f"{file.name}.part"
        _download(file, part, progress)
        part.replace(whole)

    pooch.get_logger().setLevel("WARNING")  # progress goes to the caller, not to standard error
    by_hand = f"or put the file into {folder} by hand"
    try:
        return Path(
            pooch.retrieve(file.url, file.checksum, fname=file.name, path=folder, downloader=resume)
        )
    except requests.RequestException as error:
        raise UserError(
            f"{file.name} could not be downloaded from {file.url}: {_reason(error)}; expected a "
            f"file with the checksum {file.checksum}. Run again when the network is there (what "
            f"has arrived is kept), {by_hand}"
        ) from error
    except OSError as error:
        raise UserError(
            f"{file.name} could not be written into {folder} ({error}); make room there, or name "
            "another folder"
        ) from error
    except ValueError as error:  # how pooch reports a wrong checksum
        raise UserError(
            f"{file.name} from {file.url} does not have the checksum {file.checksum} and was "
            f"removed; run again to download it again, {by_hand}"
        ) from error


def _download(file: RemoteFile, part: Path, progress: Progress | None) -> None:
    """Fill ``part`` up to the whole file; a broken connection is taken up again while each try
    brings new bytes."""
    import requests

    for attempt in range(1, ATTEMPTS + 1):
        before = _size(part)
        try:
            _continue(file, part, progress)
            return
        except (requests.ConnectionError, requests.Timeout):
            if attempt == ATTEMPTS or _size(part) == before:
                raise
        time.sleep(WAIT)


def _continue(file: RemoteFile, part: Path, progress: Progress | None) -> None:
    """One request for the bytes that ``part`` lacks.  Raises requests.ConnectionError where not all
    of them came."""
    import requests
    from urllib3.exceptions import HTTPError as BrokenStream

    done = _size(part)
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={done}-"} if done else {})
    with requests.get(file.url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        if (
            response.status_code == 416
            and response.headers.get("Content-Range") == f"bytes */{done}"
        ):
            return  # everything is there already
        if response.status_code == 416:
            part.unlink()
            raise requests.ConnectionError("the partial file was longer than the whole")
        response.raise_for_status()
        done, total = _span(response)
        with part.open("ab") as out:
            out.truncate(done)  # a server without ranges starts at 0 again
            try:
                # The bytes as sent: a ".gz" that a server declares as an encoding must not be
                # unpacked on the way.
                for chunk in response.raw.stream(CHUNK, decode_content=False):
                    out.write(chunk)
                    done += len(chunk)
                    if progress is not None:
                        progress(file.name, done, total)
            except BrokenStream as error:
                raise requests.ConnectionError(f"broken off after {done} bytes") from error
    if total is not None and done < total:
        raise requests.ConnectionError(f"broken off after {done} of {total} bytes")


def _span(response: Any) -> tuple[int, int | None]:
    """Where the answer's bytes start in the file, and the bytes of the whole file if the server
    says."""
    if response.status_code == 206:  # Content-Range: bytes 100-199/200
        first, _, total = response.headers["Content-Range"].removeprefix("bytes ").partition("-")
        total = total.partition("/")[2]
        return int(first), int(total) if total.isdigit() else None
    length = response.headers.get("Content-Length")
    return 0, None if length is None else int(length)


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _reason(error: Exception) -> str:
    """Why a download failed, without the layers of the library below."""
    import requests

    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"the server answered {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.Timeout):
        return f"no answer within {TIMEOUT:.0f} s"
    text = str(error)
    return text if text.startswith(("broken", "the partial")) else "no connection to the server"
