"""One picture or several, in every form that people have them."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from knowbound.backbones import LeNet
from knowbound.boundary import Boundary
from knowbound.data.preprocessing import Preprocessing
from knowbound.detectors import NearestCentre
from knowbound.errors import UserError
from knowbound.judgement import Verdict
from tests.samples import blobs


@pytest.fixture(scope="module")
def boundary() -> Boundary:
    torch.manual_seed(0)
    shape = Preprocessing(16, 16, 3)
    network = LeNet(embedding=4, channels=3, height=16, width=16)
    source = shape.apply(blobs(40))
    return (
        Boundary(network, NearestCentre(), shape, source.class_names)
        .learn(source)
        .calibrate(source)
    )


def picture() -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(0).integers(0, 255, (20, 24, 3)).astype(np.uint8)


def file_bytes() -> bytes:
    buffer = BytesIO()
    Image.fromarray(picture()).save(buffer, "PNG")
    return buffer.getvalue()


FORMS: dict[str, Callable[[Path], Any]] = {
    "path": lambda folder: folder / "a.png",
    "string": lambda folder: str(folder / "a.png"),
    "bytes": lambda _: file_bytes(),
    "pil": lambda _: Image.fromarray(picture()),
    "array": lambda _: picture(),
    "float array": lambda _: picture() / 255,
    "tensor": lambda _: torch.from_numpy(picture()).permute(2, 0, 1),
    "tensor, channels last": lambda _: torch.from_numpy(picture()),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_one_picture_has_the_same_verdict(
    form: str, boundary: Boundary, tmp_path: Path
) -> None:
    (tmp_path / "a.png").write_bytes(file_bytes())
    given = FORMS[form](tmp_path)
    (expected,) = boundary.predict([Image.fromarray(picture())])
    assert boundary.predict(given) == expected
    for verdict in boundary.predict([given, given]):  # the last digits depend on the batch
        assert verdict.decision == expected.decision
        assert verdict.score == pytest.approx(expected.score, rel=1e-4)


def test_four_axes_are_several_pictures(boundary: Boundary) -> None:
    several = np.stack([picture(), picture()[::-1]])
    verdicts = boundary.predict(several)
    assert [type(verdict) for verdict in verdicts] == [Verdict, Verdict]
    assert verdicts == boundary.predict(list(several))
    assert verdicts == boundary.predict(iter(several))
    assert verdicts == boundary.predict(torch.from_numpy(several).permute(0, 3, 1, 2))
    assert boundary.predict([]) == []


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (3, "int was given as a picture"),
        (None, "NoneType was given as a picture"),
        (np.zeros((2, 2, 2, 2, 2)), "shape (2, 2, 2, 2, 2)"),
        (np.zeros(5), "shape (5,)"),
        (np.zeros((4, 4, 7), np.uint8), "shape is (4, 4, 7)"),
        (np.zeros((0, 4), np.uint8), "without a pixel"),
        (np.full((4, 4), 300.0), "numbers from 0 to 1"),
        (np.zeros((4, 4), dtype=object), "it holds object"),
        ([7], "a picture of type int cannot be used: expected a path"),
        (b"", "the file has 0 bytes"),
        (b"no picture", "not a picture"),
        ("missing.png", "missing.png cannot be used: the file does not exist"),
    ],
)
def test_anything_else_is_one_sentence(given: Any, says: str, boundary: Boundary) -> None:
    with pytest.raises(UserError) as caught:
        boundary.predict(given)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_truncated_lazy_picture_is_one_sentence(boundary: Boundary) -> None:
    lazy = Image.open(BytesIO(file_bytes()[:600]))
    with pytest.raises(UserError, match="cannot be used"):
        boundary.predict(lazy)
