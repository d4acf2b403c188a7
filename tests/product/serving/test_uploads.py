"""Bodies in every form: pictures come out as they went in, anything else is one sentence."""

from email.message import EmailMessage
from email.policy import HTTP

import numpy as np
import pytest

from knowbound.product.serving.refusal import Refusal
from knowbound.product.serving.uploads import Upload, _file_name, check_type, uploads_in
from tests.product.serving.samples import BOUNDARY, form

FORM = f'multipart/form-data; boundary="{BOUNDARY}"'


def refused(body: bytes, kind: str = FORM, most: int = 4) -> Refusal:
    with pytest.raises(Refusal) as caught:
        uploads_in(body, kind, most=most)
    assert "\n" not in caught.value.sentence
    return caught.value


def test_any_bytes_come_out_as_they_went_in() -> None:
    rng = np.random.default_rng(0)
    contents = [b"", b"\r\n", b"--", b"\r\n--\r\n", *(rng.bytes(n) for n in (1, 100, 5000))]
    contents += [b"\r\n--" + BOUNDARY[:-1].encode() + b"x", b"a\r\n", b"\r\n\r\nb"]
    named = [(f"{i}.png", content) for i, content in enumerate(contents)]
    assert uploads_in(form(named), FORM, most=len(named)) == [Upload(*one) for one in named]


def test_another_program_writes_the_form() -> None:
    message = EmailMessage(policy=HTTP)
    message["Content-Type"] = "multipart/form-data"
    for name in ("a.png", "ä b.png"):
        part = EmailMessage(policy=HTTP)
        part.set_content(name.encode() * 50, "image", "png", cte="binary")
        del part["Content-Disposition"]
        part["Content-Disposition"] = f'form-data; name="file"; filename="{name}"'
        message.attach(part)
    head, _, body = bytes(message).partition(b"\r\n\r\n")
    kind = message["Content-Type"]
    assert b"boundary" in head.lower()
    found = uploads_in(body, str(kind), most=4)
    names = ("a.png", "ä b.png")
    assert found == [Upload(name, name.encode() * 50) for name in names]


def test_a_raw_body_is_one_picture() -> None:
    assert uploads_in(b"x", "image/png", most=1) == [Upload("picture", b"x")]
    assert uploads_in(b"x", "", name="a.png", most=1) == [Upload("a.png", b"x")]


def test_names_as_browsers_write_them() -> None:
    for written, name in (("a%22b.png", 'a"b.png'), ("ü.png", "ü.png"), ("", "picture")):
        assert uploads_in(form([(written, b"x")]), FORM, most=1) == [Upload(name, b"x")]
    for disposition, name in (
        (r'form-data; name="file"; filename="a\"b.png"', 'a"b.png'),
        (
            'form-data; name="f"; filename="x; filename*=utf-8\'\'evil.png"',
            "x; filename*=utf-8''evil.png",
        ),
        ("form-data; name=f; filename=a.png; filename*=UTF-8''%C3%A4.png", "ä.png"),
    ):
        assert _file_name(disposition) == name
    assert _file_name('form-data; name="a; filename=q.png"') is None
    assert uploads_in(form([("../../etc/passwd", b"x")]), FORM, most=1)[0].name


@pytest.mark.parametrize("change", range(0, 300, 7))
def test_a_form_that_is_cut_is_refused(change: int) -> None:
    whole = form([("a.png", b"x" * 20), ("b.png", b"y" * 20)])
    last = len(whole) - 4  # the last two dashes and the line's end
    refusal = refused(whole[: min(change, last)])
    assert refusal.status == 400


def test_too_many_pictures() -> None:
    four = [(f"{i}.png", b"x") for i in range(4)]
    assert len(uploads_in(form(four), FORM, most=4)) == 4
    assert refused(form([*four, ("e.png", b"x")])).status == 413
    assert refused(form([*four, *four])).status == 413


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", "image/png"),
        (b"", FORM),
        (b"x", FORM),
        (b"x", "multipart/form-data"),
        (b"x", "multipart/form-data; boundary="),
        (b"x", "multipart/form-data; boundary=" + "b" * 300),
        (f"--{BOUNDARY}--\r\n".encode(), FORM),
        (f"--{BOUNDARY}\r\n\r\n\r\nx\r\n--{BOUNDARY}--".encode(), FORM),
        (f"--{BOUNDARY}\r\n{'h' * 9000}\r\n\r\nx\r\n--{BOUNDARY}--".encode(), FORM),
        (
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n'
            f"--{BOUNDARY}--".encode(),
            FORM,
        ),
    ],
)
def test_what_is_no_form_of_files(body: bytes, kind: str) -> None:
    assert refused(body, kind).status == 400


def test_types() -> None:
    for kind in ("", "image/webp", "IMAGE/PNG; q=1", "application/octet-stream", FORM):
        check_type(kind, "identity")
    for kind, encoding in (("application/json", ""), ("text/html", ""), ("image/png", "gzip")):
        with pytest.raises(Refusal) as caught:
            check_type(kind, encoding)
        assert caught.value.status == 415
