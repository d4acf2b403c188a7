import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from knowbound.data.sets import cifar10, mnist, svhn
from knowbound.data.sets.download import RemoteFile, fetch, find_or_fetch, home
from knowbound.errors import UserError
from tests.data.sets.file_server import FileServer

CONTENT = np.random.default_rng(0).bytes(100_000)


def remote(server: FileServer, name: str = "set.bin", content: bytes = CONTENT) -> RemoteFile:
    return RemoteFile(name, server.url(name), "md5:" + hashlib.md5(content).hexdigest())


def test_a_file_arrives_whole_and_is_not_asked_for_again(
    server: FileServer, tmp_path: Path
) -> None:
    server.files["set.bin"] = CONTENT
    path = fetch(remote(server), tmp_path / "new" / "folder")
    assert path == tmp_path / "new" / "folder" / "set.bin"
    assert path.read_bytes() == CONTENT
    assert fetch(remote(server), path.parent) == path
    assert server.requests == [("set.bin", None)]
    assert os.listdir(path.parent) == ["set.bin"], (
        "neither the partial file nor a temporary one is left"
    )


def test_sha256_is_a_checksum_too(server: FileServer, tmp_path: Path) -> None:
    server.files["set.bin"] = CONTENT
    file = RemoteFile(
        "set.bin", server.url("set.bin"), "sha256:" + hashlib.sha256(CONTENT).hexdigest()
    )
    assert fetch(file, tmp_path).read_bytes() == CONTENT


def test_a_broken_connection_is_taken_up_where_it_broke(server: FileServer, tmp_path: Path) -> None:
    server.files["set.bin"] = CONTENT
    server.stop_after = 30_000
    assert fetch(remote(server), tmp_path).read_bytes() == CONTENT
    ranges = [header for _, header in server.requests]
    assert ranges == [None, "bytes=30000-", "bytes=60000-", "bytes=90000-"]


def test_the_next_call_goes_on_from_the_partial_file(server: FileServer, tmp_path: Path) -> None:
    server.files["set.bin"] = CONTENT
    server.stop_after = 1_000  # five attempts bring 5,000 bytes, then the call gives up
    with pytest.raises(
        UserError, match=r"set.bin could not be downloaded .* broken off after 5000 .* is kept"
    ):
        fetch(remote(server), tmp_path)
    assert (tmp_path / "set.bin.part").read_bytes() == CONTENT[:5_000]
    assert not (tmp_path / "set.bin").exists()
    server.stop_after = None
    server.requests.clear()
    assert fetch(remote(server), tmp_path).read_bytes() == CONTENT
    assert server.requests == [("set.bin", "bytes=5000-")]
    assert not (tmp_path / "set.bin.part").exists()


def test_a_kill_after_the_last_byte_loses_nothing(server: FileServer, tmp_path: Path) -> None:
    server.files["set.bin"] = CONTENT
    (tmp_path / "set.bin.part").write_bytes(CONTENT)
    assert fetch(remote(server), tmp_path).read_bytes() == CONTENT
    assert server.requests == [("set.bin", "bytes=100000-")]


def test_a_partial_file_longer_than_the_whole_is_begun_anew(
    server: FileServer, tmp_path: Path
) -> None:
    server.files["set.bin"] = CONTENT
    (tmp_path / "set.bin.part").write_bytes(CONTENT + b"more")
    assert fetch(remote(server), tmp_path).read_bytes() == CONTENT


def test_a_server_without_ranges_begins_anew(server: FileServer, tmp_path: Path) -> None:
    server.files["set.bin"] = CONTENT
    server.ranges = False
    (tmp_path / "set.bin.part").write_bytes(b"x" * 500)
    assert fetch(remote(server), tmp_path).read_bytes() == CONTENT


def test_a_packed_file_stays_packed_whatever_the_server_declares(
    server: FileServer, tmp_path: Path
) -> None:
    packed = mnist.gzip.compress(CONTENT)
    server.files["set.gz"] = packed
    assert fetch(remote(server, "set.gz", packed), tmp_path).read_bytes() == packed


def test_a_wrong_checksum_is_removed_and_said(server: FileServer, tmp_path: Path) -> None:
    server.files["set.bin"] = CONTENT[:-1] + b"?"
    with pytest.raises(
        UserError, match=r"set.bin from http.* does not have the checksum md5:.* was removed"
    ) as caught:
        fetch(remote(server), tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert os.listdir(tmp_path) == []


def test_a_file_with_a_wrong_checksum_stays_until_the_right_one_is_there(
    server: FileServer, tmp_path: Path
) -> None:
    (tmp_path / "set.bin").write_bytes(b"mine")
    with pytest.raises(UserError, match="404"):
        fetch(remote(server), tmp_path)
    assert (tmp_path / "set.bin").read_bytes() == b"mine"
    server.files["set.bin"] = CONTENT
    assert fetch(remote(server), tmp_path).read_bytes() == CONTENT


def test_a_file_the_server_lacks(server: FileServer, tmp_path: Path) -> None:
    file = remote(server)
    with pytest.raises(
        UserError, match=r"the server answered 404 Not Found; expected .* by hand"
    ) as caught:
        fetch(file, tmp_path)
    for said in (file.url, file.checksum, str(tmp_path)):
        assert said in str(caught.value)
    assert len(server.requests) == 1, "an answer of the server is not asked for again"


def test_no_network(server: FileServer, tmp_path: Path) -> None:
    file = RemoteFile(
        "set.bin", "http://127.0.0.1:9/set.bin", "md5:00"
    )  # the discard port: nobody listens
    with pytest.raises(
        UserError,
        match=r"from http://127.0.0.1:9/set.bin: no connection .* checksum md5:00.* by hand",
    ):
        fetch(file, tmp_path)


def test_a_folder_that_cannot_be_made(server: FileServer, tmp_path: Path) -> None:
    server.files["set.bin"] = CONTENT
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"set.bin could not be written into .*file"):
        fetch(remote(server), tmp_path / "file" / "folder")


def test_progress_counts_from_what_was_there(server: FileServer, tmp_path: Path) -> None:
    server.files["set.bin"] = CONTENT
    (tmp_path / "set.bin.part").write_bytes(CONTENT[:40_000])
    seen: list[tuple[str, int, int | None]] = []
    fetch(remote(server), tmp_path, lambda *told: seen.append(told))
    assert {(name, total) for name, _, total in seen} == {("set.bin", 100_000)}
    done = [count for _, count, _ in seen]
    assert done == sorted(done)
    assert done[0] > 40_000
    assert done[-1] == 100_000


def test_nothing_is_downloaded_unless_asked(server: FileServer, tmp_path: Path) -> None:
    server.files["set.bin"] = CONTENT
    folders = (tmp_path / "a", tmp_path / "b")
    with pytest.raises(UserError, match=r"set.bin or set was not found in .*a, .*b; .* --download"):
        find_or_fetch(remote(server), folders, tmp_path / "b", also=("set",))
    assert server.requests == []
    found = find_or_fetch(remote(server), folders, tmp_path / "b", also=("set",), download=True)
    assert found == tmp_path / "b" / "set.bin"
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "set").write_bytes(b"")
    assert (
        find_or_fetch(remote(server), folders, tmp_path / "b", also=("set",), download=True)
        == tmp_path / "a" / "set"
    )
    assert len(server.requests) == 1


def test_home_is_the_folder_of_that_name() -> None:
    assert home(Path("data"), "svhn") == Path("data/svhn")
    assert home(Path("data/svhn"), "svhn") == Path("data/svhn")


def test_the_official_files_are_those_published() -> None:
    files = [*mnist.FILES["train"], *mnist.FILES["test"], cifar10.ARCHIVE, *svhn.FILES.values()]
    assert len({file.checksum for file in files}) == len(files) == 8
    for file in files:
        assert file.url.endswith("/" + file.name)
        algorithm, _, digest = file.checksum.partition(":")
        assert algorithm == "md5"
        assert len(bytes.fromhex(digest)) == 16
