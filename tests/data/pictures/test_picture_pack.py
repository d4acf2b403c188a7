"""One set of pictures as a folder, a zip and tar files: the same images in the same order, and what
is wrong said."""

import tarfile
from pathlib import Path, PurePosixPath

import numpy as np
import pytest

from knowbound.data.pictures.folder_pixels import FolderPixels
from knowbound.data.pictures.picture_pack import find_pack, open_pack, read_classes, read_unlabelled
from knowbound.data.preprocessing import Preprocessing
from knowbound.errors import UserError
from knowbound.labels import OUT
from tests.data.pictures.packs import FORMS, png, write_pack

SMALL = Preprocessing(4, 4, 3)
HIDDEN = {".DS_Store": b"x", "__MACOSX/set/._1.png": b"x", ".hidden/1.png": b"x"}


@pytest.mark.parametrize("form", FORMS)
def test_pictures_come_in_the_order_of_their_letters(tmp_path: Path, form: str) -> None:
    files = {
        "set/9.png": png(90),
        "set/10.png": png(10),
        "set/readme.txt": b"words",
        "set/1.PNG": png(1),
        **HIDDEN,
    }
    place = write_pack(tmp_path, "any", form, files)
    pack = open_pack(place)
    assert [str(name) for name in pack.names] == [
        "set/1.PNG",
        "set/10.png",
        "set/9.png",
        "set/readme.txt",
    ]
    assert pack.text(PurePosixPath("set/readme.txt")) == "words"
    source = read_unlabelled(place, "Some", SMALL)
    assert (source.name, source.class_names, source.labels.tolist()) == ("Some", (), [OUT] * 3)
    expected = np.zeros((3, 3, 4, 4), dtype=np.uint8)
    expected[:, 0] = np.array([1, 10, 90])[:, None, None]
    np.testing.assert_array_equal(source.pixels, expected)


@pytest.mark.parametrize("form", FORMS)
def test_classes_are_the_folders_of_the_pictures(tmp_path: Path, form: str) -> None:
    files = {
        "set/sea/2.png": png(2),
        "set/air/3.png": png(3),
        "set/sea/1.png": png(1),
        "set/notes/a.txt": b"x",
    }
    source = read_classes(write_pack(tmp_path, "any", form, files), "Some", SMALL)
    assert source.class_names == ("air", "sea")
    assert source.labels.tolist() == [0, 1, 1]
    assert source.pixels[:, 0, 0, 0].tolist() == [3, 1, 2]


def test_every_form_gives_the_same_hash(tmp_path: Path) -> None:
    files = {f"set/{k}.png": png(k, 7, 5) for k in range(3)}
    hashes = {
        read_unlabelled(write_pack(tmp_path, form, form, files), "Some", SMALL).sha256()
        for form in FORMS
    }
    assert len(hashes) == 1


@pytest.mark.parametrize("form", FORMS)
def test_pictures_that_cannot_be_read_are_counted_and_the_first_is_named(
    tmp_path: Path, form: str
) -> None:
    files = {"set/1.png": png(1), "set/2.png": png(2)[:40], "set/3.png": b"text", "set/4.png": b""}
    with pytest.raises(
        UserError,
        match=r"3 of the 4 pictures of .*any.* cannot be read \(the first: set/2.png: .*fetch",
    ) as caught:
        read_unlabelled(write_pack(tmp_path, "any", form, files), "Some", SMALL)
    assert "\n" not in str(caught.value)


def test_a_file_damaged_inside_a_zip_is_named(tmp_path: Path) -> None:
    place = write_pack(tmp_path, "any", ".zip", {"set/1.png": png(1), "set/2.png": png(2)})
    content = bytearray(place.read_bytes())
    content[content.index(b"set/1.png") + 30] ^= 255  # its checksum no longer fits
    place.write_bytes(content)
    with pytest.raises(
        UserError, match=r"1 of the 2 pictures .*set/1.png: damaged in the archive: .*CRC"
    ):
        read_unlabelled(place, "Some", SMALL)


@pytest.mark.parametrize("form", [".zip", ".tar", ".tar.gz"])
def test_an_archive_cut_short_empty_or_of_something_else(tmp_path: Path, form: str) -> None:
    noise = np.random.default_rng(1)
    files = {f"set/{k}.png": noise.bytes(3000) for k in range(4)}
    place = write_pack(tmp_path, "any", form, files)
    whole = place.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"<html>not found</html>"):
        place.write_bytes(content)
        with pytest.raises(UserError, match=r"any\..* is not a whole zip or tar archive"):
            read_unlabelled(place, "Some", SMALL)


def test_links_and_paths_out_of_a_tar_file_reach_nothing(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(png(9))
    place = tmp_path / "any.tar"
    with tarfile.open(place, "w") as archive:
        link = tarfile.TarInfo("set/1.png")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path / "secret.png")
        archive.addfile(link)
    with pytest.raises(UserError, match="has no picture"):
        read_unlabelled(place, "Some", SMALL)


@pytest.mark.parametrize("form", FORMS)
def test_wrong_layouts_are_said(tmp_path: Path, form: str) -> None:
    place = write_pack(tmp_path, "a", form, {"readme.txt": b"x"})
    for read in (read_unlabelled, read_classes):
        with pytest.raises(UserError, match="has no picture; expected"):
            read(place, "Some", SMALL)
    with pytest.raises(UserError, match=r"pictures in 2 folders \(s, t, ...\)"):
        read_unlabelled(
            write_pack(tmp_path, "b", form, {"s/1.png": png(1), "t/1.png": png(2)}), "Some", SMALL
        )
    with pytest.raises(
        UserError, match=r"has 1 pictures in no folder \(the first: 2.png\); expected <class>"
    ):
        read_classes(
            write_pack(tmp_path, "c", form, {"s/1.png": png(1), "2.png": png(2)}), "Some", SMALL
        )


@pytest.mark.parametrize("form", FORMS)
def test_a_missing_text_is_said(tmp_path: Path, form: str) -> None:
    pack = open_pack(write_pack(tmp_path, "any", form, {"a.txt": b"x"}))
    with pytest.raises(UserError, match=r"b.txt cannot be read \(.+\); fetch"):
        pack.text(PurePosixPath("b.txt"))


def test_more_than_fits_in_memory_stays_in_a_folder_and_is_refused_in_an_archive(
    tmp_path: Path,
) -> None:
    files = {f"set/{k}.png": png(k) for k in range(3)}
    names = [PurePosixPath(name) for name in files]
    folder = open_pack(write_pack(tmp_path, "any", "", files))
    pixels = folder.pixels(names, SMALL, memory_limit=3 * 48 - 1)
    assert isinstance(pixels, FolderPixels)
    np.testing.assert_array_equal(pixels[:], folder.pixels(names, SMALL, memory_limit=3 * 48))
    archive = open_pack(write_pack(tmp_path, "any", ".zip", files))
    with pytest.raises(
        UserError, match="holds 3 pictures, at 4 x 4 more than 143 bytes; unpack it"
    ):
        archive.pixels(names, SMALL, memory_limit=3 * 48 - 1)
    (tmp_path / "any" / "set" / "1.png").write_bytes(b"text")
    with pytest.raises(UserError, match="1 of the 3 pictures"):
        folder.pixels(names, SMALL, memory_limit=1)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("below", ["", "sub"])
def test_a_pack_is_found_by_its_name(tmp_path: Path, form: str, below: str) -> None:
    (tmp_path / below).mkdir(exist_ok=True)
    place = write_pack(tmp_path / below, "any", form, {"1.png": png(1)})
    assert find_pack(tmp_path, ("sub",), "any") == place
    assert find_pack(place, (), "any") == place
    assert find_pack(tmp_path, ("sub",), "an") is None
    assert find_pack(tmp_path / "nowhere", ("sub",), "any") is None
