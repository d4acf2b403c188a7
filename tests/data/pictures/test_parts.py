"""Parts of archives, shards and tables: which pictures they hold, read a few at a time."""

import io
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath

import pytest

from knowbound.data.pictures import parts as parts_module
from knowbound.data.pictures.parts import Archive, Files, Part, Rows, divide, sampled
from knowbound.data.pictures.picture_files import Given
from knowbound.errors import UserError


def given(parts: Iterator[Part] | list[Part]) -> list[Given]:
    return [one for part in parts for one in part.pictures()]


def names(place: Path, parts: Iterator[Part] | list[Part]) -> list[str]:
    return [one.path.relative_to(place).as_posix() for one in given(parts)]


def write_tar(path: Path, members: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def write_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def slow_sampled(files: list[str]) -> list[str]:
    """The pictures by looking at all neighbours of one key at once."""
    groups: list[tuple[str, list[str]]] = []
    for name in files:
        folder, _, last = name.rpartition("/")
        key = f"{folder}/{last.split('.')[0]}"
        if not groups or groups[-1][0] != key:
            groups.append((key, []))
        groups[-1][1].append(name)
    chosen = []
    for _, group in groups:
        pictures = [name for name in group if name.endswith((".jpg", ".png"))]
        chosen += pictures or group
    return chosen


@pytest.mark.parametrize(
    "files",
    [
        [],
        ["a/0001.cls", "a/0001.jpg", "a/0001.json", "a/0002.jpg", "a/0002.txt"],
        ["0001.json", "0001.seg.png", "0001.rgb.png", "0001.txt"],
        ["readme.txt", "0001.jpg", "0002.json", "0002.cls"],
        ["a/1.jpg", "b/1.json", "b/1.jpg", "1.json"],
        ["x.2024.jpg", "x.2025.jpg", "noending", "y"],
    ],
)
def test_of_a_sample_the_pictures_count_and_of_others_all(files: list[str]) -> None:
    named = ((PurePosixPath(name), partial(str, name)) for name in files)
    assert [str(name) for name, _ in sampled(named)] == slow_sampled(files)


def test_hidden_files_are_passed_over_and_nothing_waits_without_end() -> None:
    many = [f"a.{number}" for number in range(1000)]
    taken: list[str] = []

    def read(name: str) -> str:
        taken.append(name)
        return name

    hidden = ["__MACOSX/._1.jpg", ".hidden/2.jpg", "Thumbs.db"]
    found = sampled((PurePosixPath(n), partial(read, n)) for n in [*hidden, *many])
    assert next(found) == (PurePosixPath("a.0"), "a.0")
    assert len(taken) == parts_module.WAITING + 1
    assert [name for _, name in found] == many[1:]


def test_files_archives_and_the_order_they_are_given_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts_module, "PART", 2)
    tar = write_tar(tmp_path / "s.tar.gz", {"1.cls": b"c", "1.jpg": b"one", "2.jpg": b""}, "w:gz")
    members = {"d/a.png": b"a", "d/a.json": b"{}", "b.png": b"b", "/etc/c.png": b"c"}
    packed = write_zip(tmp_path / "p.ZIP", members)
    loose = [tmp_path / name for name in ("x.jpg", "y.jpg", "z.jpg", "w.jpg")]
    found = list(divide([*loose[:3], tar, packed, loose[3]]))
    assert [(type(part), part.count) for part in found] == [
        *((Files, 2), (Files, 1), (Archive, None), (Archive, 2), (Archive, 1), (Files, 1)),
    ]
    assert names(tmp_path, found) == [
        *("x.jpg", "y.jpg", "z.jpg", "s.tar.gz/1.jpg", "s.tar.gz/2.jpg"),
        *("p.ZIP/d/a.png", "p.ZIP/b.png", "p.ZIP/etc/c.png", "w.jpg"),
    ]
    assert [one.content for one in given(found)] == [
        *(None, None, None, b"one", b"", b"a", b"b", b"c", None)
    ]
    assert len({part.words for part in found}) == len(found)


def test_a_tar_file_is_read_as_its_pictures_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tar = write_tar(tmp_path / "s.tar", {f"{n}.jpg": bytes(5) for n in range(50)})
    read: list[int] = []
    extract = tarfile.TarFile.extractfile

    def counted(archive: tarfile.TarFile, member: tarfile.TarInfo) -> object:
        read.append(1)
        return extract(archive, member)

    monkeypatch.setattr(tarfile.TarFile, "extractfile", counted)
    (part,) = divide([tar])
    pictures = part.pictures()
    for wanted in range(1, 4):
        next(pictures)
        assert len(read) == wanted


def damaged_zip(path: Path) -> Path:
    content = write_zip(path, {"a.png": b"abcdef" * 9, "b.png": b"b"}).read_bytes()
    path.write_bytes(content.replace(b"abcdef" * 9, b"abcdeX" * 9))
    return path


def cut(path: Path) -> Path:
    write_tar(path, {"a.png": bytes(9), "b.png": bytes(5000)})
    path.write_bytes(path.read_bytes()[:4000])
    return path


@pytest.mark.parametrize(
    ("make", "name", "problems"),
    [
        (damaged_zip, "a.zip", {"a.zip/a.png": "Bad CRC-32", "a.zip/b.png": ""}),
        (
            cut,
            "a.tar",
            {"a.tar/a.png": "", "a.tar/b.png": "unexpected end", "a.tar": "not a whole"},
        ),
        (lambda p: p.write_bytes(b"no archive"), "a.zip", {"a.zip": "is not a whole zip or tar"}),
        (lambda p: p.write_bytes(b""), "a.tar", {"a.tar": "is not a whole zip or tar"}),
        (lambda p: write_zip(p, {}), "a.zip", {"a.zip": "an archive without files"}),
        (lambda p: write_tar(p, {}), "a.tar", {"a.tar": "an archive without files"}),
        (lambda p: p.mkdir(), "a.tar", {"a.tar": "a directory"}),
    ],
)
def test_what_is_damaged_says_so_in_its_row_and_stops_nothing(
    make: Callable[[Path], object], name: str, problems: dict[str, str], tmp_path: Path
) -> None:
    make(tmp_path / name)
    rows = given(list(divide([tmp_path / name, tmp_path / "after.jpg"])))
    assert rows.pop().path.name == "after.jpg"
    assert [row.path.relative_to(tmp_path).as_posix() for row in rows] == list(problems)
    for row, problem in zip(rows, problems.values(), strict=True):
        assert (row.content is None) == bool(problem)
        assert problem.lower() in row.problem.lower()
        assert not row.problem.startswith(str(tmp_path))


def test_a_file_too_large_for_memory_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("knowbound.data.pictures.archives.LARGEST", 4)
    tar = write_tar(tmp_path / "a.tar", {"a.png": bytes(5), "b.png": bytes(4)})
    packed = write_zip(tmp_path / "a.zip", {"a.png": bytes(5), "b.png": bytes(4)})
    for path in (tar, packed):
        large, small = given(divide([path]))
        assert large.problem == "damaged in the archive: it holds 5 bytes; at most 4 are read"
        assert small.content == bytes(4)


def test_rows_of_a_parquet_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(parts_module, "PART", 3)
    contents = [bytes([n]) if n != 4 else None for n in range(7)]
    records = [None if c is None else {"bytes": c, "path": "x.jpg"} for c in contents]
    table = pa.table({"label": range(7), "thumb": contents, "Image": records, "other": contents})
    path = tmp_path / "t.parquet"
    pq.write_table(table, path, row_group_size=2)
    found = list(divide([path], named=[path]))
    assert [
        (part.column, part.groups, part.first, part.count)
        for part in found
        if isinstance(part, Rows)
    ] == [("Image", (0, 1), 0, 4), ("Image", (2, 3), 4, 3)]
    for rows in (given(found), given(divide([path], "thumb"))):
        assert [row.content for row in rows] == contents
        assert [row.path for row in rows] == [path / str(n) for n in range(7)]
        assert [bool(row.problem) for row in rows] == [content is None for content in contents]
    for column, words in (("label", "the column 'label' holds no bytes"), ("x", "no column 'x'")):
        with pytest.raises(UserError, match=words):
            list(divide([path], column, named=[path]))
    (broken,) = given(divide([path], "label"))  # found in a folder, it stops nothing
    assert "holds no bytes" in broken.problem
    pq.write_table(table.drop_columns(["Image"]), path)
    with pytest.raises(UserError, match=r"several columns of bytes \(thumb, other\)"):
        list(divide([path], named=[path]))
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(UserError, match="is not a whole Parquet file"):
        list(divide([path], named=[path]))
