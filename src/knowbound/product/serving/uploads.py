"""The body of a request -> the pictures in it, as named bytes."""

import re
from typing import NamedTuple
from urllib.parse import unquote

from knowbound.product.serving.refusal import Refusal

RAW = ("", "application/octet-stream", "application/x-www-form-urlencoded")
"""Types of a body that is one picture, beside image/*; the last is what curl says of every
--data-binary."""
UNNAMED = "picture"
LONGEST_BOUNDARY = 200
MOST_OF_A_HEAD = 8192
PARAMETER = re.compile(r';\s*([\w*-]+)=("(?:\\.|[^"\\])*"|[^;\s]*)')
"""Of a header: a name, and a value that may be quoted."""
"""Bytes of the headers of one part."""
HOW = (
    "send one picture as the body with Content-Type: image/png or the like, or several as files of "
    "multipart/form-data"
)


class Upload(NamedTuple):
    """One picture as it came."""

    name: str
    """That the sender gave it."""
    content: bytes
    """Of the file."""


def check_type(content_type: str, encoding: str) -> None:
    """Check, before a body is read, that it can be used.

    Args:
        content_type: of the header.
        encoding: of the header Content-Encoding.

    Raises:
        Refusal: 415.
    """
    kind = _kind(content_type)
    if encoding.strip().lower() not in ("", "identity"):
        raise Refusal(415, "the body is compressed; send the pictures as they are", close=True)
    if kind != "multipart/form-data" and kind not in RAW and not kind.startswith("image/"):
        shown = "".join(c for c in kind[:60] if c.isprintable())
        raise Refusal(415, f"a body of the type {shown} came; {HOW}", close=True)


def uploads_in(body: bytes, content_type: str, *, name: str = "", most: int) -> list[Upload]:
    """The pictures of a request, in order.

    Args:
        body: whole.
        content_type: of the header, after ``check_type``.
        name: of the picture, where the body is one.
        most: pictures.

    Raises:
        Refusal: 400 for a body in the wrong form or without a picture, 413 for too many.
    """
    if not body:
        raise Refusal(400, f"the body is empty; {HOW}")
    if _kind(content_type) != "multipart/form-data":
        return [Upload(name or UNNAMED, body)]
    uploads = _parts(body, _boundary(content_type), most)
    if not uploads:
        raise Refusal(400, f"the form holds no picture; {HOW}")
    return uploads


def _kind(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _boundary(content_type: str) -> bytes:
    found = re.search(r'boundary=(?:"([^"]+)"|([^;\s"]+))', content_type, re.IGNORECASE)
    value = (found.group(1) or found.group(2)) if found else ""
    if not 0 < len(value) <= LONGEST_BOUNDARY:
        raise Refusal(400, "the header Content-Type of the form names no boundary; name one")
    return value.encode("latin-1", "replace")


def _parts(body: bytes, boundary: bytes, most: int) -> list[Upload]:
    """The files of a form (RFC 7578).  The delimiter is in no file, by its definition."""
    delimiter = b"\r\n--" + boundary
    # what begins with the delimiter has the line break before it in front of the body
    pieces = (b"\r\n" + body).split(delimiter, most + 2)
    if len(pieces) == 1:
        raise Refusal(400, "the form does not hold the boundary that its Content-Type names")
    uploads: list[Upload] = []
    ended = False
    for piece in pieces[1:]:
        if piece.startswith(b"--"):
            ended = True
            break
        if len(uploads) == most:
            raise Refusal(413, f"more than {most} pictures came in one request; send fewer")
        uploads.append(_upload(piece))
    if not ended:
        raise Refusal(400, "the form ends before its last boundary; send it whole")
    return uploads


def _upload(piece: bytes) -> Upload:
    head, blank, content = piece.lstrip(b" \t").removeprefix(b"\r\n").partition(b"\r\n\r\n")
    if not blank or len(head) > MOST_OF_A_HEAD:
        raise Refusal(400, "a part of the form has no end of its headers; send it as RFC 7578 says")
    lines = re.sub(rb"\r\n[ \t]+", b" ", head).split(b"\r\n")
    disposition = next(
        (one for one in lines if one.lower().startswith(b"content-disposition:")), b""
    )
    name = _file_name(disposition.decode("utf-8", "replace"))
    if name is None:
        raise Refusal(
            400,
            "a field of the form is no file; expected files alone, such as: curl -F file=@a.png",
        )
    return Upload(name or UNNAMED, content)


def _file_name(disposition: str) -> str | None:
    """Of a file; None for a field that is none.  In the forms of RFC 7578 and RFC 5987."""
    given = {
        key.lower(): re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value
        for key, value in PARAMETER.findall(disposition)
    }
    encoded = re.fullmatch(r"utf-8'[^']*'(.+)", given.get("filename*", ""), re.IGNORECASE)
    if encoded:
        return unquote(encoded.group(1), errors="replace")
    plain = given.get("filename")
    return None if plain is None else plain.replace("%22", '"')
