import gzip
import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest

from knowbound.data.sets import mnist
from knowbound.data.sets.download import RemoteFile
from knowbound.data.sets.mnist import read_mnist
from knowbound.errors import UserError
from tests.data.sets.file_server import FileServer

IMAGES = np.random.default_rng(1).integers(0, 256, (7, 28, 28), dtype=np.uint8)
LABELS = [5, 0, 4, 1, 9, 2, 1]


def idx_images(images: np.ndarray) -> bytes:
    pixels = (int(pixel) for pixel in images.ravel())
    return struct.pack(">IIII", 2051, *images.shape) + bytes(pixels)


def idx_labels(labels: list[int]) -> bytes:
    return struct.pack(">II", 2049, len(labels)) + bytes(labels)


def write(
    folder: Path,
    part: str = "train",
    *,
    packed: bool = True,
    images: bytes = b"",
    labels: bytes = b"",
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    contents = (images or idx_images(IMAGES), labels or idx_labels(LABELS))
    for file, content in zip(mnist.FILES[part], contents, strict=True):
        name = file.name if packed else file.name.removesuffix(".gz")
        (folder / name).write_bytes(gzip.compress(content) if packed else content)


@pytest.mark.parametrize("folder", [".", "mnist", "MNIST/raw"])
@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("part", ["train", "test"])
def test_images_and_labels_come_back(tmp_path: Path, folder: str, packed: bool, part: str) -> None:
    write(tmp_path / folder, part, packed=packed)
    source = read_mnist(tmp_path, part)  # type: ignore[arg-type]
    assert (source.name, source.class_names) == ("MNIST", tuple("0123456789"))
    assert source.labels.tolist() == LABELS
    np.testing.assert_array_equal(source.images(slice(None)), IMAGES[:, None])
    assert source.images(slice(None)).flags.writeable, "torch.from_numpy warns of read-only arrays"


def test_a_file_unpacked_by_the_browser_keeps_its_name(tmp_path: Path) -> None:
    write(tmp_path, packed=False)
    for file in mnist.FILES["train"]:
        (tmp_path / file.name.removesuffix(".gz")).rename(tmp_path / file.name)
    assert len(read_mnist(tmp_path, "train")) == 7


def test_a_set_without_images_is_empty(tmp_path: Path) -> None:
    write(tmp_path, images=idx_images(IMAGES[:0]), labels=idx_labels([]))
    assert len(read_mnist(tmp_path, "train")) == 0


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ({"images": idx_images(IMAGES)[:-1]}, "train-images-idx3.* announces 5488 .* has 5487"),
        ({"images": idx_images(IMAGES) + b"x"}, "train-images-idx3.* announces 5488 .* has 5489"),
        ({"images": idx_images(IMAGES)[:11]}, "train-images-idx3.* starts with"),
        (
            {"images": idx_labels(LABELS)},
            "train-images-idx3.* starts with .*2049.* expected .*2051",
        ),
        (
            {"images": idx_images(IMAGES[:, :20])},
            "train-images-idx3.* starts with .*20, 28.* expected .*28, 28",
        ),
        ({"labels": idx_images(IMAGES)}, "train-labels-idx1.* starts with .*2051"),
        ({"labels": idx_labels(LABELS)[:-2]}, "train-labels-idx1.* announces 7 .* has 5"),
        ({"labels": idx_labels(LABELS[:-1])}, "7 images and .* 6 labels"),
        ({"labels": idx_labels([*LABELS[:-1], 10])}, "train-labels-idx1.* label 10"),
        ({"labels": b"\n"}, "train-labels-idx1.* starts with"),
    ],
)
@pytest.mark.parametrize("packed", [True, False])
def test_damage_is_said_of_the_file(
    tmp_path: Path, packed: bool, bad: dict[str, bytes], words: str
) -> None:
    write(tmp_path, packed=packed, **bad)
    with pytest.raises(UserError, match=words):
        read_mnist(tmp_path, "train")


@pytest.mark.parametrize("keep", [3, 20, -1, -9])
def test_a_gzip_cut_short(tmp_path: Path, keep: int) -> None:
    write(tmp_path)
    path = tmp_path / mnist.FILES["train"][0].name
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(UserError, match=r"train-images-idx3-ubyte.gz cannot be read .* --download"):
        read_mnist(tmp_path, "train")


def test_a_gzip_with_a_flipped_byte(tmp_path: Path) -> None:
    write(tmp_path)
    path = tmp_path / mnist.FILES["train"][0].name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"train-images-idx3-ubyte\.gz"):
        read_mnist(tmp_path, "train")


def test_a_missing_file_is_named_with_its_folder(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / mnist.FILES["train"][1].name).unlink()
    with pytest.raises(
        UserError, match=r"train-labels-idx1-ubyte.gz .* not found in .* --download"
    ) as caught:
        read_mnist(tmp_path, "train")
    assert str(tmp_path) in str(caught.value)


def test_missing_files_are_downloaded_when_asked(
    tmp_path: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = [gzip.compress(idx_images(IMAGES)), gzip.compress(idx_labels(LABELS))]
    files = []
    for file, content in zip(mnist.FILES["train"], contents, strict=True):
        server.files[file.name] = content
        files.append(
            RemoteFile(file.name, server.url(file.name), "md5:" + hashlib.md5(content).hexdigest())
        )
    monkeypatch.setattr(mnist, "FILES", {"train": tuple(files)})
    assert read_mnist(tmp_path, "train", download=True).labels.tolist() == LABELS
    assert sorted(path.name for path in (tmp_path / "mnist").iterdir()) == sorted(server.files)
    assert len(read_mnist(tmp_path / "mnist", "train", download=True)) == 7
    assert len(server.requests) == 2


@pytest.mark.real_data
def test_the_official_files(real_data: Path) -> None:
    for file in (*mnist.FILES["train"], *mnist.FILES["test"]):
        digest = hashlib.md5((real_data / "mnist" / file.name).read_bytes()).hexdigest()
        assert file.checksum == f"md5:{digest}", file.name
    train, test = read_mnist(real_data, "train"), read_mnist(real_data / "mnist", "test")
    assert (len(train), len(test)) == (60_000, 10_000)
    assert train.labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert test.labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert np.bincount(test.labels).tolist() == [
        980,
        1135,
        1032,
        1010,
        982,
        892,
        958,
        1028,
        974,
        1009,
    ]
    packed = gzip.decompress((real_data / "mnist" / mnist.FILES["test"][0].name).read_bytes())
    assert test.images(slice(9_999, None)).tobytes() == packed[-784:]
