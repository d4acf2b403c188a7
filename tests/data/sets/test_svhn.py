import hashlib
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from knowbound.data.sets import svhn
from knowbound.data.sets.download import RemoteFile
from knowbound.data.sets.svhn import read_svhn
from knowbound.errors import UserError
from tests.data.sets.file_server import FileServer

X = np.random.default_rng(3).integers(0, 256, (32, 32, 3, 6), dtype=np.uint8)
Y = np.array([[1], [9], [10], [3], [10], [5]], dtype=np.uint8)


def write(path: Path, images: np.ndarray = X, labels: np.ndarray = Y) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {"X": images, "y": labels}, do_compression=True)
    return path


@pytest.mark.parametrize("folder", [".", "svhn"])
@pytest.mark.parametrize("part", ["train", "test", "extra"])
def test_images_and_labels_come_back(tmp_path: Path, folder: str, part: str) -> None:
    write(tmp_path / folder / f"{part}_32x32.mat")
    source = read_svhn(tmp_path, part)  # type: ignore[arg-type]
    assert (source.name, source.class_names, source.image_shape) == (
        "SVHN",
        tuple("0123456789"),
        (3, 32, 32),
    )
    assert source.labels.tolist() == [1, 9, 0, 3, 0, 5]
    images = source.images(slice(None))
    assert images.dtype == np.uint8
    for index in range(6):
        for channel in range(3):
            np.testing.assert_array_equal(images[index, channel], X[:, :, channel, index])
    assert images.flags.c_contiguous


def test_a_single_image_without_its_last_axis(tmp_path: Path) -> None:
    write(tmp_path / "test_32x32.mat", X[..., 0], Y[:1])
    source = read_svhn(tmp_path, "test")
    np.testing.assert_array_equal(source.images(slice(None))[0], X[..., 0].transpose(2, 0, 1))


@pytest.mark.parametrize(
    ("images", "labels", "words"),
    [
        (X, Y[:5], "5 labels for 6 images"),
        (X, Y - 1, r"expected one of 1\.\.10"),
        (X, Y + 1, r"expected one of 1\.\.10"),
        (X[:28], Y, "test_32x32.mat is not a file of SVHN"),
        (X.astype(float), Y, "test_32x32.mat is not a file of SVHN"),
    ],
)
def test_other_contents_are_refused(
    tmp_path: Path, images: np.ndarray, labels: np.ndarray, words: str
) -> None:
    write(tmp_path / "test_32x32.mat", images, labels)
    with pytest.raises(UserError, match=words):
        read_svhn(tmp_path, "test")


def test_damage_is_said_of_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "test_32x32.mat")
    whole = path.read_bytes()
    for content in (b"", b"<html>", whole[:100], whole[:150], whole[: len(whole) // 2], whole[:-3]):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"test_32x32.mat"):
            read_svhn(tmp_path, "test")
    savemat(path, {"other": X})
    with pytest.raises(UserError, match=r"test_32x32.mat is not a file of SVHN"):
        read_svhn(tmp_path, "test")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"extra_32x32.mat was not found in .*svhn, .* --download"):
        read_svhn(tmp_path, "extra")


def test_a_missing_file_is_downloaded_when_asked(
    tmp_path: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "test_32x32.mat"
    server.files[name] = content = write(tmp_path / "made" / name).read_bytes()
    file = RemoteFile(name, server.url(name), "md5:" + hashlib.md5(content).hexdigest())
    monkeypatch.setattr(svhn, "FILES", {"test": file})
    assert len(read_svhn(tmp_path, "test", download=True)) == 6
    assert (tmp_path / "svhn" / name).read_bytes() == content


@pytest.mark.real_data
def test_the_real_files(real_data: Path) -> None:
    test = read_svhn(real_data, "test")
    assert test.labels[:5].tolist() == [5, 2, 1, 0, 6]
    assert read_svhn(real_data / "svhn", "train").labels[:5].tolist() == [1, 9, 2, 3, 2]
    if len(test) == 5_000:  # the first digits of the official set; their counts by class are known
        assert np.bincount(test.labels).tolist() == [
            339,
            988,
            775,
            561,
            496,
            450,
            381,
            376,
            316,
            318,
        ]
