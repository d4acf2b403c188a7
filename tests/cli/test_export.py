"""Which class the pictures of ``export --check`` have."""

from pathlib import Path

import pytest

from knowbound.cli.export import _label


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/data/cat/test/dog/1.png", 1),
        ("/data/cat/test/dog/deeper/1.png", 1),
        ("/data/cat/test/unknown/1.png", -1),
        ("/data/cat/test/1.png", -1),
        ("/elsewhere/cat/1.png", 0),
        ("/cat/elsewhere/1.png", -1),
    ],
)
def test_a_folder_above_the_pictures_is_no_class(path: str, expected: int) -> None:
    assert _label(Path(path), Path("/data/cat/test"), {"cat": 0, "dog": 1}) == expected
