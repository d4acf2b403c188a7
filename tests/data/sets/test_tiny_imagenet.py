"""Tiny ImageNet from the official layout, from the files of ODIN's authors, and from the sample at
32 x 32."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from knowbound.data.preprocessing import Preprocessing
from knowbound.data.sets.tiny_imagenet import Part, present_parts, read_tiny_imagenet
from knowbound.data.source import Source
from knowbound.errors import UserError
from knowbound.labels import OUT
from tests.data.pictures.packs import FORMS, png, write_pack

SMALL = Preprocessing(4, 4, 3)
BOX = "\t0\t0\t63\t63\n"


def official() -> dict[str, bytes]:
    """The official layout with three classes; the shade of red is the number in the file's name."""
    trained = {"n02": (10, 11), "n01": (20,), "n03": (30,)}
    return {
        "wnids.txt": b"n02\nn03\nn01\n",
        "words.txt": b"n00\tentity\nn01\tcrane, machine\nn02\tEgyptian cat, Mau\nn03\tcrane\n",
        "val/val_annotations.txt": f"val_1.JPEG\tn03{BOX}val_0.JPEG\tn01{BOX}val_2.JPEG\tn02{BOX}".encode(),
        **{f"train/{i}/{i}_boxes.txt": b"x" for i in trained},
        **{
            f"train/{i}/images/{i}_{k}.JPEG": png(k, 8, 8, "JPEG")
            for i, shades in trained.items()
            for k in shades
        },
        **{f"val/images/val_{k}.JPEG": png(k, 8, 8, "JPEG") for k in range(3)},
        **{f"test/images/test_{k}.JPEG": png(40 + k, 8, 8, "JPEG") for k in range(2)},
    }


def write(folder: Path, form: str, files: dict[str, bytes]) -> Path:
    return write_pack(
        folder,
        "tiny-imagenet-200",
        form,
        {f"tiny-imagenet-200/{name}" if form else name: files[name] for name in files},
    )


def shades(source: Source) -> list[int]:
    return [int(shade) for shade in source.pixels[:, 0].mean(axis=(1, 2)).round()]


@pytest.mark.parametrize("form", FORMS)
def test_the_official_parts(tmp_path: Path, form: str) -> None:
    place = write(tmp_path, form, official())
    for root in (tmp_path, place):
        train, val, test = (
            read_tiny_imagenet(root, part, SMALL) for part in ("train", "val", "test")
        )
        names = (
            "crane (n01)",
            "Egyptian cat",
            "crane (n03)",
        )  # n01, n02, n03: two share their first word
        assert (train.name, train.class_names, val.class_names) == ("Tiny ImageNet", names, names)
        assert (train.labels.tolist(), val.labels.tolist(), test.labels.tolist()) == (
            [0, 1, 1, 2],
            [0, 2, 1],
            [OUT, OUT],
        )
        for source, expected in ((train, [20, 10, 11, 30]), (val, [0, 1, 2]), (test, [40, 41])):
            assert np.abs(np.subtract(shades(source), expected)).max() <= 2  # JPEG
            assert source.image_shape == (3, 4, 4)
    assert present_parts(tmp_path) == ("test", "val", "train")


def test_a_renamed_folder_and_missing_words(tmp_path: Path) -> None:
    files = official()
    del files["words.txt"]
    write(tmp_path, "", files).rename(tmp_path / "mine")
    assert read_tiny_imagenet(tmp_path / "mine", "val", SMALL).class_names == ("n01", "n02", "n03")
    assert present_parts(tmp_path / "mine") == ("test", "val", "train")


@pytest.mark.parametrize(
    ("part", "change", "words"),
    [
        (
            "val",
            {"val/val_annotations.txt": f"val_0.JPEG\tn01{BOX}".encode()},
            "2 pictures without a class.*val_1.JPEG",
        ),
        (
            "val",
            {"val/images/val_2.JPEG": None},
            "1 pictures of val_annotations.txt that are not there.*val_2.JPEG",
        ),
        ("val", {"val/val_annotations.txt": None}, "val_annotations.txt cannot be read"),
        ("val", {"wnids.txt": b"n01\nn02\n"}, "1 classes that wnids.txt does not have.*n03"),
        ("val", {"wnids.txt": None}, "has no wnids.txt"),
        ("train", {"wnids.txt": b"n01\nn02\n"}, "1 classes that wnids.txt does not have.*n03"),
        (
            "train",
            {"train/n01/images/n01_20.JPEG": None},
            "1 classes of wnids.txt without a picture.*n01",
        ),
        (
            "train",
            {"train/n02/images/n02_10.JPEG": b"text"},
            "1 of the 4 pictures of .*n02_10.JPEG: not a picture",
        ),
        (
            "test",
            {f"test/images/test_{k}.JPEG": None for k in range(2)},
            "has no picture test/images",
        ),
    ],
)
def test_what_is_missing_wrong_or_damaged_is_counted_and_named(
    tmp_path: Path, part: Part, change: dict[str, bytes | None], words: str
) -> None:
    files = {
        name: content for name, content in {**official(), **change}.items() if content is not None
    }
    with pytest.raises(UserError, match=words) as caught:
        read_tiny_imagenet(write(tmp_path, "", files), part, SMALL)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("part", "file", "inside"),
    [("resize", "Imagenet_resize", "Imagenet_resize"), ("crop", "Imagenet", "test")],
)
def test_the_files_of_odin_s_authors(
    tmp_path: Path, form: str, part: Part, file: str, inside: str
) -> None:
    write_pack(tmp_path, file, form, {f"{inside}/{k}.png": png(k) for k in (2, 0, 10)})
    source = read_tiny_imagenet(tmp_path, part, SMALL)
    assert source.name == f"Tiny ImageNet ({part})"
    assert shades(source) == [0, 10, 2]
    assert (source.labels == OUT).all()
    assert present_parts(tmp_path) == (part,)


@pytest.mark.parametrize("form", FORMS)
def test_the_sample(tmp_path: Path, form: str) -> None:
    (tmp_path / "tinyimagenet").mkdir()
    files = {"n02/val_7.png": png(7), "n01/val_9.png": png(9), "n02/val_1.png": png(1)}
    write_pack(tmp_path / "tinyimagenet", "tinyimagenet_val_32x32", form, files)
    source = read_tiny_imagenet(tmp_path, "sample", SMALL)
    assert (source.name, source.class_names) == (
        "Tiny ImageNet (validation sample)",
        ("n01", "n02"),
    )
    assert (shades(source), source.labels.tolist()) == ([9, 1, 7], [0, 1, 1])
    assert present_parts(tmp_path) == present_parts(tmp_path / "tinyimagenet") == ("sample",)


def test_a_missing_set_is_named(tmp_path: Path) -> None:
    for part, name in (
        ("resize", "Imagenet_resize"),
        ("val", "tiny-imagenet-200"),
        ("sample", "tinyimagenet_val_32x32"),
    ):
        with pytest.raises(UserError, match=f"{name} was not found in .*give the folder"):
            read_tiny_imagenet(tmp_path, part, SMALL)  # type: ignore[arg-type]
    assert present_parts(tmp_path) == ()


@pytest.mark.real_data
def test_the_real_sample_reads_as_its_tar_file_is(real_data: Path) -> None:
    path = real_data / "tinyimagenet" / "tinyimagenet_val_32x32.tar"
    if not path.exists():
        pytest.skip("the sample of Tiny ImageNet is absent")
    source = read_tiny_imagenet(real_data, "sample", Preprocessing(32, 32, 3))
    assert (len(source), len(source.class_names), source.image_shape) == (2500, 200, (3, 32, 32))
    with tarfile.open(path) as archive:
        names = sorted(archive.getnames())
        for index in range(0, 2500, 250):
            member = archive.extractfile(names[index])
            assert member is not None
            picture = np.asarray(Image.open(io.BytesIO(member.read())).convert("RGB"))
            np.testing.assert_array_equal(source.pixels[index].transpose(1, 2, 0), picture)
            assert source.class_names[source.labels[index]] == names[index].split("/")[0]
