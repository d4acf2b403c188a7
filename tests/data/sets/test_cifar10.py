import hashlib
import io
import pickle
import struct
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from knowbound.data.sets import cifar10
from knowbound.data.sets.cifar10 import CLASS_NAMES, present_batches, read_cifar10
from knowbound.data.sets.download import RemoteFile
from knowbound.errors import UserError
from tests.data.sets.file_server import FileServer

rng = np.random.default_rng(2)
LABELS = {"data_batch_1": [6, 9, 9, 4], "data_batch_2": [1, 6, 6, 8], "test_batch": [3, 8, 8, 0]}
DATA = {name: rng.integers(0, 256, (4, 3072), dtype=np.uint8) for name in LABELS}


def python2(value: Any) -> bytes:
    """The opcodes with which Python 2 and NumPy wrote the official files (protocol 2), without the
    closing stop."""
    match value:
        case bytes():
            return b"T" + struct.pack("<i", len(value)) + value  # BINSTRING
        case bool():
            return b"\x89" if not value else b"\x88"
        case int():
            return b"J" + struct.pack("<i", value)
        case list():
            return b"](" + b"".join(map(python2, value)) + b"e"
        case tuple():
            return b"(" + b"".join(map(python2, value)) + b"t"
        case dict():
            return (
                b"}(" + b"".join(python2(key) + python2(item) for key, item in value.items()) + b"u"
            )
        case np.ndarray():
            code = value.dtype.str[1:].encode()
            state = b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
            dtype = b"cnumpy\ndtype\n" + python2((code, 0, 1)) + b"R" + state
            shell = (
                b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n"
                + python2((0,))
                + python2(b"b")
                + b"tR"
            )
            return (
                shell
                + b"(K\x01"
                + python2(value.shape)
                + dtype
                + python2(False)
                + python2(value.tobytes())
                + b"tb"
            )
    raise TypeError(type(value))


def pickled(value: Any) -> bytes:
    return b"\x80\x02" + python2(value) + b"."


def batch(name: str) -> dict[bytes, Any]:
    return {
        b"batch_label": name.encode(),
        b"labels": LABELS[name],
        b"data": DATA[name],
        b"filenames": [b"x.png"] * 4,
    }


def write(folder: Path, **contents: bytes) -> Path:
    """A folder in the official format with some of the official files; ``contents`` takes the place
    of theirs."""
    folder.mkdir(parents=True, exist_ok=True)
    meta = {
        b"num_cases_per_batch": 4,
        b"label_names": [name.encode() for name in CLASS_NAMES],
        b"num_vis": 3072,
    }
    files = (
        {"batches.meta": pickled(meta)} | {name: pickled(batch(name)) for name in LABELS} | contents
    )
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def archive_of(folder: Path, path: Path) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        archive.add(folder, "cifar-10-batches-py")
    return path


def check(root: Path) -> None:
    train, test = read_cifar10(root, "train"), read_cifar10(root, "test")
    assert (train.name, train.class_names, train.image_shape) == (
        "CIFAR-10",
        CLASS_NAMES,
        (3, 32, 32),
    )
    assert train.labels.tolist() == LABELS["data_batch_1"] + LABELS["data_batch_2"]
    assert test.labels.tolist() == LABELS["test_batch"]
    rows = [*DATA["data_batch_1"], *DATA["data_batch_2"]]
    images = train.images(slice(None))
    for index, channel, y, x in [(0, 0, 0, 0), (1, 2, 5, 31), (4, 1, 31, 7), (7, 2, 31, 31)]:
        assert images[index, channel, y, x] == rows[index][channel * 1024 + y * 32 + x]
    assert images.sum(dtype=np.int64) == sum(int(row.sum(dtype=np.int64)) for row in rows)
    assert images.flags.writeable
    assert present_batches(root) == ("data_batch_1", "data_batch_2")


def test_the_fixture_is_what_python_2_wrote() -> None:
    content = pickle.loads(pickled(batch("test_batch")), encoding="bytes")
    assert content[b"labels"] == LABELS["test_batch"]
    np.testing.assert_array_equal(content[b"data"], DATA["test_batch"])


@pytest.mark.parametrize(
    "folder", [".", "cifar-10-batches-py", "cifar10", "cifar10/cifar-10-batches-py"]
)
def test_folders(tmp_path: Path, folder: str) -> None:
    write(tmp_path / folder)
    check(tmp_path)


@pytest.mark.parametrize("place", ["cifar-10-python.tar.gz", "cifar10/cifar-10-python.tar.gz"])
def test_the_archive_in_a_folder_and_by_its_name(tmp_path: Path, place: str) -> None:
    path = tmp_path / "data" / place
    path.parent.mkdir(parents=True)
    archive_of(write(tmp_path / "unpacked"), path)
    check(tmp_path / "data")
    check(path)


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_batches_written_again_by_python_3(tmp_path: Path, protocol: int) -> None:
    write(tmp_path, **{name: pickle.dumps(batch(name), protocol=protocol) for name in LABELS})
    check(tmp_path)


def test_batches_stored_column_first(tmp_path: Path) -> None:
    content = batch("test_batch") | {b"data": np.asfortranarray(DATA["test_batch"])}
    write(tmp_path, test_batch=pickle.dumps(content, protocol=2))
    check(tmp_path)


def test_class_names_come_from_the_meta_file(tmp_path: Path) -> None:
    names = [f"thing {number}".encode() for number in range(10)]
    write(tmp_path, **{"batches.meta": pickled({b"label_names": names})})
    assert read_cifar10(tmp_path, "test").class_names == tuple(
        f"thing {number}" for number in range(10)
    )
    (tmp_path / "batches.meta").unlink()
    assert read_cifar10(tmp_path, "test").class_names == CLASS_NAMES


class Evil:
    def __init__(self, function: Any, *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("where", ["data_batch_1", "batches.meta"])
def test_a_pickle_that_runs_something_is_refused_and_not_run(
    tmp_path: Path, protocol: int, where: str
) -> None:
    trace = tmp_path / "was_here"
    evil = pickle.dumps({b"data": Evil(Path.touch, trace)}, protocol=protocol)
    pickle.loads(evil)
    assert trace.exists(), "this pickle does harm where it is simply loaded"
    trace.unlink()
    write(tmp_path, **{where: evil})
    with pytest.raises(UserError, match=rf"{where} asks to run .*refuses"):
        read_cifar10(tmp_path, "train")
    assert not trace.exists()


@pytest.mark.parametrize(
    "name", ["numpy\nload", "numpy.core.multiarray\nfromfile", "builtins\neval", "os\nsystem"]
)
def test_no_other_global_is_given(tmp_path: Path, name: str) -> None:
    write(tmp_path, test_batch=b"\x80\x02c" + name.encode() + b"\n.")
    with pytest.raises(UserError, match=name.replace("\n", ".") + ".*refuses"):
        read_cifar10(tmp_path, "test")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "test_batch is damaged"),
        (pickled(batch("test_batch"))[:-500], "test_batch is damaged"),
        (b"not a pickle", "test_batch is damaged"),
        (pickled([1, 2]), "test_batch is not a batch"),
        (pickled({b"labels": [1]}), "test_batch is not a batch"),
        (
            pickled(batch("test_batch") | {b"data": DATA["test_batch"][:, :1024]}),
            "test_batch is not a batch",
        ),
        (
            pickled(batch("test_batch") | {b"data": DATA["test_batch"].astype(np.int16)}),
            "is damaged.*i2",
        ),
        (
            pickled(batch("test_batch") | {b"labels": [1, 2, 3]}),
            "test_batch has 3 labels for 4 images",
        ),
        (pickled(batch("test_batch") | {b"labels": [1, 2, 3, 10]}), r"expected a label 0\.\.9"),
        (pickled(batch("test_batch") | {b"labels": [1, 2, 3, b"4"]}), r"expected a label 0\.\.9"),
        (
            b"\x80\x02}(U\x04datacnumpy\nndarray\nU\x06labels](Nea.",
            "test_batch is",
        ),  # the class where an array belongs
    ],
)
def test_damage_is_said_of_the_file(tmp_path: Path, content: bytes, words: str) -> None:
    write(tmp_path, test_batch=content)
    with pytest.raises(UserError, match=words):
        read_cifar10(tmp_path, "test")


def test_an_archive_cut_short_or_of_something_else(tmp_path: Path) -> None:
    path = archive_of(write(tmp_path / "unpacked"), tmp_path / "cifar-10-python.tar.gz")
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"<html>not found</html>"):
        path.write_bytes(content)
        with pytest.raises(
            UserError,
            match=r"cifar-10-python.tar.gz.* (damaged|not a whole tar archive|cannot be read).* "
            r"--download",
        ):
            read_cifar10(tmp_path, "train")
    (tmp_path / "unpacked" / "test_batch").unlink()
    archive_of(tmp_path / "unpacked", path)
    with pytest.raises(UserError, match=r"cifar-10-python.tar.gz holds none of test_batch"):
        read_cifar10(tmp_path, "test")


def test_missing_files_are_named(tmp_path: Path) -> None:
    for ask in (lambda: read_cifar10(tmp_path, "train"), lambda: present_batches(tmp_path)):
        with pytest.raises(
            UserError, match=r"cifar-10-python.tar.gz or data_batch_1 .* not found in .* --download"
        ):
            ask()
    (write(tmp_path) / "test_batch").unlink()
    assert len(read_cifar10(tmp_path, "train")) == 8
    with pytest.raises(UserError, match="test_batch was not found"):
        read_cifar10(tmp_path, "test")


def test_the_archive_is_downloaded_when_asked(
    tmp_path: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = archive_of(write(tmp_path / "unpacked"), tmp_path / "packed.tar.gz").read_bytes()
    name = cifar10.ARCHIVE.name
    server.files[name] = content
    file = RemoteFile(name, server.url(name), "md5:" + hashlib.md5(content).hexdigest())
    monkeypatch.setattr(cifar10, "ARCHIVE", file)
    root = tmp_path / "data"
    assert len(read_cifar10(root, "train", download=True)) == 8
    assert (root / "cifar10" / name).read_bytes() == content
    check(root)
    assert len(server.requests) == 1


@pytest.mark.real_data
def test_the_real_files_read_as_a_plain_unpickling_reads_them(real_data: Path) -> None:
    folder = real_data / "cifar10" / "cifar-10-batches-py"
    names = present_batches(real_data)
    assert names == tuple(name for name in cifar10.BATCHES["train"] if (folder / name).exists())
    train, test = read_cifar10(real_data, "train"), read_cifar10(folder, "test")
    assert (len(train), len(test)) == (10_000 * len(names), 10_000)
    assert train.class_names == CLASS_NAMES
    assert train.labels[:5].tolist() == [6, 9, 9, 4, 1]
    assert test.labels[:5].tolist() == [3, 8, 8, 0, 6]
    content = pickle.load(io.BytesIO((folder / "test_batch").read_bytes()), encoding="bytes")
    assert test.labels.tolist() == content[b"labels"]
    np.testing.assert_array_equal(test.images(slice(None)).reshape(-1, 3072), content[b"data"])
