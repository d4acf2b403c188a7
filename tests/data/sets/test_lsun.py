"""LSUN from the files of ODIN's authors, and the scenes that stand in for it."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from knowbound.data.preprocessing import Preprocessing
from knowbound.data.sets.lsun import Part, present_parts, read_lsun
from knowbound.errors import UserError
from knowbound.labels import OUT
from tests.data.pictures.packs import FORMS, png, write_pack

SMALL = Preprocessing(4, 4, 3)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("part", "file", "inside"), [("resize", "LSUN_resize", "LSUN_resize"), ("crop", "LSUN", "test")]
)
def test_the_files_of_odin_s_authors(
    tmp_path: Path, form: str, part: Part, file: str, inside: str
) -> None:
    write_pack(tmp_path, file, form, {f"{inside}/{k}.png": png(k) for k in (2, 0, 10)})
    source = read_lsun(tmp_path, part, SMALL)
    assert source.name == f"LSUN ({part})"
    assert source.pixels[:, 0, 0, 0].tolist() == [0, 10, 2]
    assert (source.labels == OUT).all()
    assert present_parts(tmp_path) == (part,)


@pytest.mark.parametrize("form", FORMS)
def test_scenes_say_in_their_name_that_they_stand_in(tmp_path: Path, form: str) -> None:
    (tmp_path / "scenes_colour").mkdir()
    files = {"sea/sun_b.png": png(7), "airport/sun_z.png": png(9), "sea/sun_a.png": png(1)}
    place = write_pack(tmp_path / "scenes_colour", "scenes_colour_32x32", form, files)
    for root in (tmp_path, tmp_path / "scenes_colour", place):
        source = read_lsun(root, "scenes", SMALL)
        assert source.name == "LSUN (scenes stand-in)"
        assert source.class_names == ("airport", "sea")
        assert (source.labels.tolist(), source.pixels[:, 0, 0, 0].tolist()) == (
            [0, 1, 1],
            [9, 1, 7],
        )
        assert present_parts(root) == ("scenes",)


def test_a_folder_of_several_sets_is_not_taken_for_one(tmp_path: Path) -> None:
    files = {"test/1.png": png(1), "LSUN_resize/1.png": png(2)}
    write_pack(tmp_path, "LSUN", "", files)
    with pytest.raises(UserError, match="pictures in 2 folders"):
        read_lsun(tmp_path, "crop", SMALL)


@pytest.mark.parametrize(
    ("part", "file"),
    [("resize", "LSUN_resize"), ("crop", "LSUN"), ("scenes", "scenes_colour_32x32")],
)
def test_what_is_missing_or_damaged_is_said(tmp_path: Path, part: Part, file: str) -> None:
    with pytest.raises(UserError, match=f"{file} was not found in .*give the folder"):
        read_lsun(tmp_path, part, SMALL)
    assert present_parts(tmp_path) == ()
    write_pack(tmp_path, file, ".tar.gz", {"a/1.png": png(1), "a/2.png": b"text"})
    with pytest.raises(
        UserError, match=r"1 of the 2 pictures .*\(the first: a/2.png: not a picture"
    ):
        read_lsun(tmp_path, part, SMALL)


@pytest.mark.real_data
def test_the_real_scenes_read_as_their_tar_file_is(real_data: Path) -> None:
    path = real_data / "scenes_colour" / "scenes_colour_32x32.tar"
    if not path.exists():
        pytest.skip("the scenes are absent")
    source = read_lsun(real_data, "scenes", Preprocessing(32, 32, 3))
    assert (len(source), len(source.class_names), source.image_shape) == (3905, 29, (3, 32, 32))
    counts = dict(zip(source.class_names, np.bincount(source.labels).tolist(), strict=True))
    fewer = {
        "landscape": 113,
        "mountain": 113,
        "football_stadium": 117,
        "tennis_court": 122,
        "railroad": 128,
    }
    assert counts == {name: fewer.get(name, 138) for name in source.class_names}
    with tarfile.open(path) as archive:
        names = sorted(archive.getnames())
        for index in range(0, 3905, 400):
            member = archive.extractfile(names[index])
            assert member is not None
            picture = np.asarray(Image.open(io.BytesIO(member.read())).convert("RGB"))
            np.testing.assert_array_equal(source.pixels[index].transpose(1, 2, 0), picture)
