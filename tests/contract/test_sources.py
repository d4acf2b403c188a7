"""What every reader and maker of images promises of the source it gives."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from knowbound.data.outs.anomalies import anomaly_images
from knowbound.data.outs.changed_copies import changed_copies, measure_invariances
from knowbound.data.outs.composed import composed_images
from knowbound.data.outs.exchanged import exchanged_patches
from knowbound.data.outs.noise import gaussian_noise
from knowbound.data.outs.patches import photograph_patches, sample_photographs
from knowbound.data.pictures.folder import read_folder
from knowbound.data.preprocessing import Preprocessing
from knowbound.data.sets.cifar10 import read_cifar10
from knowbound.data.sets.digits import read_digits
from knowbound.data.sets.lsun import read_lsun
from knowbound.data.sets.mnist import read_mnist
from knowbound.data.sets.svhn import read_svhn
from knowbound.data.sets.tiny_imagenet import read_tiny_imagenet
from knowbound.data.signs.tsinghua import read_tsinghua_crops
from knowbound.data.source import Source
from knowbound.labels import OUT
from tests.data.pictures.packs import png, write_pack
from tests.data.sets import test_cifar10, test_mnist, test_svhn, test_tiny_imagenet
from tests.data.signs import test_tsinghua
from tests.samples import blobs, write_folder

SMALL = Preprocessing(8, 10, 3)
GREY = Preprocessing(12, 12, 1)


def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def mnist(place: Path) -> Source:
    test_mnist.write(place, "train")
    return read_mnist(place, "train")


def svhn(place: Path) -> Source:
    test_svhn.write(place / "test_32x32.mat")
    return read_svhn(place, "test")


def cifar10(place: Path) -> Source:
    return read_cifar10(test_cifar10.write(place / "cifar-10-batches-py"), "train")


def tiny_imagenet(place: Path) -> Source:
    test_tiny_imagenet.write(place, ".zip", test_tiny_imagenet.official())
    return read_tiny_imagenet(place, "train", SMALL)


def lsun(place: Path) -> Source:
    files = {f"LSUN_resize/{k}.png": png(k) for k in range(5)}
    write_pack(place, "LSUN_resize", ".tar.gz", files)
    return read_lsun(place, "resize", SMALL)


def signs(place: Path) -> Source:
    files = {name: test_tsinghua.png(*what) for name, what in test_tsinghua.FILES.items()}
    return read_tsinghua_crops(test_tsinghua.write(place, files)[1], "train", SMALL).signs.source


def folder(place: Path) -> Source:
    write_folder(place / "folder", blobs(per_class=4))
    return read_folder(place / "folder", GREY, classes=True).source


def streamed_folder(place: Path) -> Source:
    write_folder(place / "folder", blobs(per_class=4))
    return read_folder(place / "folder", GREY, classes=True, memory_limit=0).source


def unlabelled_folder(place: Path) -> Source:
    write_folder(place / "folder", blobs(per_class=4).without_labels())
    return read_folder(place / "folder", GREY, classes=False).source


def copies(_: Path) -> Source:
    source = blobs(per_class=6)

    def judge(images: NDArray[np.uint8]) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        return np.zeros(len(images), bool), np.zeros(len(images), np.int64)

    return changed_copies(source, measure_invariances(source, judge, rng()), 11, rng())


SOURCES: dict[str, Callable[[Path], Source]] = {
    "digits": lambda _: read_digits().take(np.arange(30)),
    "mnist": mnist,
    "svhn": svhn,
    "cifar10": cifar10,
    "tiny imagenet": tiny_imagenet,
    "lsun": lsun,
    "traffic signs": signs,
    "folder": folder,
    "streamed folder": streamed_folder,
    "unlabelled folder": unlabelled_folder,
    "gaussian noise": lambda _: gaussian_noise(9, (3, 8, 10), rng()),
    "synthetic anomalies": lambda _: anomaly_images((1, 8, 8), 17, rng()),
    "photograph patches": lambda _: photograph_patches(sample_photographs(), 7, 12, rng()),
    "composed": lambda _: composed_images(blobs(per_class=6), 11, rng()),
    "composed when asked for": lambda _: composed_images(
        blobs(per_class=6), 11, rng(), memory_limit=0
    ),
    "exchanged patches": lambda _: exchanged_patches(blobs(per_class=6), 11, rng()),
    "changed copies": copies,
    "classes of a source": lambda _: blobs().take_classes(("place 2", "place 0")),
    "preprocessed": lambda _: GREY.apply(blobs(per_class=4)),
    "nothing": lambda _: blobs(per_class=0),
}


@pytest.fixture(params=SOURCES)
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Source:
    return SOURCES[request.param](tmp_path)


def test_images_have_the_shape_the_type_and_the_range_that_are_said(source: Source) -> None:
    images = source.images(slice(None))
    assert images.shape == (len(source), *source.image_shape) == tuple(source.pixels.shape)
    assert images.dtype == source.pixels.dtype
    assert images.dtype in (np.uint8, np.float32)
    assert source.image_shape[0] in (1, 3)
    if images.dtype == np.float32 and images.size:
        assert 0 <= images.min() <= images.max() <= 1
    assert source.name


def test_labels_are_classes_or_out(source: Source) -> None:
    assert source.labels.shape == (len(source),)
    assert source.labels.dtype == np.int64
    assert ((source.labels >= OUT) & (source.labels < len(source.class_names))).all()
    assert len(set(source.class_names)) == len(source.class_names)


def test_images_are_the_same_in_every_order_and_every_time(source: Source) -> None:
    whole = source.images(slice(None)).copy()
    order = rng().permutation(len(source))
    twice = np.concatenate([order, order[:2]])
    np.testing.assert_array_equal(source.images(twice), whole[twice])
    np.testing.assert_array_equal(source.images(slice(1, 4)), whole[1:4])
    np.testing.assert_array_equal(source.images(np.array([], np.int64)), whole[:0])
    np.testing.assert_array_equal(source.images(slice(None)), whole)


def test_some_of_the_images_are_those_images(source: Source) -> None:
    whole, order = source.images(slice(None)), rng().permutation(len(source))
    some = source.take(order, "some")
    assert (some.name, some.class_names) == ("some", source.class_names)
    np.testing.assert_array_equal(some.labels, source.labels[order])
    np.testing.assert_array_equal(some.images(slice(None)), whole[order])
    again = some.take(np.arange(len(some))[::2])
    np.testing.assert_array_equal(again.images(slice(None)), whole[order][::2])
    drawn = source.sample(3, rng())
    assert len(drawn) == min(3, len(source))
    found = {image.tobytes() for image in drawn.images(slice(None))}
    assert found <= {image.tobytes() for image in whole}


def test_the_hash_tells_images_and_labels_apart(source: Source, tmp_path: Path) -> None:
    assert source.sha256() == source.sha256()
    if len(source) < 2:
        return
    assert source.take(np.arange(1, len(source))).sha256() != source.sha256()
    images = source.images(slice(None)).copy()
    same = replace(source, pixels=images)
    assert same.sha256() == source.sha256()
    images[0, 0, 0, 0] = (
        1 - images[0, 0, 0, 0] if images.dtype == np.float32 else images[0, 0, 0, 0] ^ 1
    )
    assert same.sha256() != source.sha256()


def test_without_labels_the_images_stay(source: Source) -> None:
    bare = source.without_labels("bare")
    assert (bare.name, bare.class_names) == ("bare", ())
    assert (bare.labels == OUT).all()
    np.testing.assert_array_equal(bare.images(slice(None)), source.images(slice(None)))


@pytest.mark.parametrize("name", SOURCES)
def test_made_or_read_again_it_is_the_same(name: str, tmp_path: Path) -> None:
    first, second = (SOURCES[name](tmp_path / which) for which in _places(tmp_path))
    assert first.sha256() == second.sha256()
    assert (first.name, first.class_names) == (second.name, second.class_names)


def _places(root: Path) -> tuple[str, str]:
    for which in ("a", "b"):
        (root / which).mkdir()
    return "a", "b"
