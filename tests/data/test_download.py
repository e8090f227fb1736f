"""Downloads against a server on this machine that cuts, forgets and lies; archives that try to escape."""

from __future__ import annotations

import gzip
import hashlib
import io
import random
import sys
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from gnnrec.data.download import check_sum, download, fetch_checksum, unpack
from gnnrec.errors import DataError
from gnnrec.files import lock_file

CONTENT = bytes(range(256)) * 4096


class Server(ThreadingHTTPServer):
    """Serves CONTENT; `cut` bytes at most per answer, with or without ranges; writes down what was asked."""

    cut: int | None = None
    ranges = True
    asked: list[str | None]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.server.asked.append(asked)
        if self.path == "/missing":
            self.send_error(404)
            return
        body = (
            f"{hashlib.md5(CONTENT).hexdigest()}  file.bin\n".encode()
            if self.path.endswith(".md5")
            else CONTENT
        )
        start = int(asked.split("=")[1].rstrip("-")) if asked and self.server.ranges else 0
        if start >= len(body):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(body)}")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        end = len(body) if self.server.cut is None else min(len(body), start + self.server.cut)
        self.wfile.write(body[start:end])

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    running = Server(("127.0.0.1", 0), Handler)
    running.asked = []
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    yield running
    running.shutdown()
    running.server_close()


def address(server: Server, path: str = "file.bin") -> str:
    return f"http://127.0.0.1:{server.server_address[1]}/{path}"


def sha(content: bytes = CONTENT) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def test_a_whole_file_is_fetched_once(server: Server, tmp_path: Path) -> None:
    path = download(address(server), tmp_path / "deep" / "file.bin", sha())
    assert path.read_bytes() == CONTENT
    download(address(server), path, sha())
    assert server.asked == [None]
    assert [entry.name for entry in path.parent.iterdir()] == ["file.bin"]


def test_a_cut_download_is_resumed(server: Server, tmp_path: Path) -> None:
    server.cut = 300_000
    path = download(address(server), tmp_path / "file.bin", sha(), pause=0)
    assert path.read_bytes() == CONTENT
    assert server.asked == [None, "bytes=300000-", "bytes=600000-", "bytes=900000-"]


def test_what_an_earlier_run_left_is_resumed(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.bin.part").write_bytes(CONTENT[:1000])
    assert download(address(server), tmp_path / "file.bin", sha()).read_bytes() == CONTENT
    assert server.asked == ["bytes=1000-"]
    (tmp_path / "file.bin").unlink()
    (tmp_path / "file.bin.part").write_bytes(CONTENT)
    assert download(address(server), tmp_path / "file.bin", sha()).read_bytes() == CONTENT


def test_without_a_checksum_nothing_of_an_earlier_run_is_taken(server: Server, tmp_path: Path) -> None:
    server.cut = 600_000
    (tmp_path / "file.bin.part").write_bytes(b"x" * 1000)
    assert download(address(server), tmp_path / "file.bin", pause=0).read_bytes() == CONTENT
    assert server.asked == [None, "bytes=600000-"]


def test_a_part_of_another_file_is_thrown_away(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.bin.part").write_bytes(CONTENT + b"more")
    assert download(address(server), tmp_path / "file.bin", sha()).read_bytes() == CONTENT


def test_a_server_without_ranges_starts_again(server: Server, tmp_path: Path) -> None:
    server.ranges = False
    (tmp_path / "file.bin.part").write_bytes(b"x" * 1000)
    assert download(address(server), tmp_path / "file.bin", sha()).read_bytes() == CONTENT


def test_a_server_that_always_cuts_is_given_up(server: Server, tmp_path: Path) -> None:
    server.cut = 0
    (tmp_path / "file.bin.part").write_bytes(CONTENT[:1000])
    with pytest.raises(DataError, match=r"cannot be fetched: .*is kept in '.*file\.bin\.part', run again"):
        download(address(server), tmp_path / "file.bin", sha(), retries=2, pause=0)
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.bin.part"]
    with pytest.raises(DataError, match=r"0 of 1048576 bytes came; run again"):
        download(address(server), tmp_path / "file.bin", retries=2, pause=0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no flock")
def test_two_processes_do_not_write_one_part(server: Server, tmp_path: Path) -> None:
    part = tmp_path / "file.bin.part"
    part.write_bytes(CONTENT[:1000])
    with part.open("ab") as held:
        assert lock_file(held, part)
        with pytest.raises(DataError, match=r"another process is fetching '.*file\.bin': wait for it to end"):
            download(address(server), tmp_path / "file.bin", sha())
    assert server.asked == []
    assert download(address(server), tmp_path / "file.bin", sha()).read_bytes() == CONTENT


def test_wrong_checksums_and_addresses_are_told(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="sha256 checksum does not match"):
        download(address(server), tmp_path / "file.bin", sha(b"other"))
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(DataError, match="404 Not Found; use --from"):
        download(address(server, "missing"), tmp_path / "file.bin")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(DataError, match="cannot be fetched"):
        download("http://127.0.0.1:9/none", tmp_path / "file.bin", retries=0, pause=0)
    (tmp_path / "file.bin").write_bytes(b"stale")
    with pytest.raises(DataError, match="does not match"):
        download(address(server), tmp_path / "file.bin", sha())
    with pytest.raises(DataError, match="must be 'sha256:HEX'"):
        check_sum(tmp_path / "file.bin", "crc:12")


def test_the_published_checksum_is_read(server: Server, tmp_path: Path) -> None:
    checksum = fetch_checksum(address(server, "file.bin.md5"))
    assert checksum == "md5:" + hashlib.md5(CONTENT).hexdigest()
    download(address(server), tmp_path / "file.bin", checksum)
    with pytest.raises(DataError, match="no md5 checksum"):
        fetch_checksum(address(server))


def make_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in members.items():
            packed.writestr(name, content)
    return path


def make_tar(path: Path, members: dict[str, bytes], link: str | None = None) -> Path:
    with tarfile.open(path, "w:gz") as packed:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            packed.addfile(entry, io.BytesIO(content))
        if link:
            entry = tarfile.TarInfo("innocent")
            entry.type, entry.linkname = tarfile.SYMTYPE, link
            packed.addfile(entry)
    return path


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_archives_are_unpacked(tmp_path: Path, make) -> None:
    archive = make(tmp_path / "a.tgz", {"ml/ratings.csv": b"1", "ml/deep/movies.csv": b"2"})
    folder = unpack(archive, tmp_path / "out")
    assert (folder / "ml" / "deep" / "movies.csv").read_bytes() == b"2"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.tgz", "out"]


@pytest.mark.parametrize("make", [make_zip, make_tar])
@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/tmp/evil", "..\\evil", "C:\\evil"])
def test_paths_outside_are_refused(tmp_path: Path, make, name: str) -> None:
    archive = make(tmp_path / "a.tgz", {"fine": b"1", name: b"2"})
    with pytest.raises(DataError, match="path outside the folder: nothing was unpacked"):
        unpack(archive, tmp_path / "inner" / "out")
    assert not list(tmp_path.rglob("evil"))
    assert not list(tmp_path.rglob("fine"))


@pytest.mark.parametrize("there", ["ml/ratings.csv", "ml/ratings.csv/deep", "ml"])
def test_what_is_there_is_not_written_over(tmp_path: Path, there: str) -> None:
    folder = unpack(make_zip(tmp_path / "one.zip", {there: b"1"}), tmp_path / "out")
    other = make_zip(tmp_path / "two.zip", {"ml/new.csv": b"2", "ml/ratings.csv": b"2"})
    with pytest.raises(DataError, match=r"two\.zip' holds 'ml.*', which is in '.*out' already"):
        unpack(other, folder)
    assert [path.read_bytes() for path in folder.rglob("*") if path.is_file()] == [b"1"]


def test_links_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no plain file"):
        unpack(make_tar(tmp_path / "a.tgz", {"fine": b"1"}, link="/etc/passwd"), tmp_path / "out")
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        entry = zipfile.ZipInfo("innocent")
        entry.external_attr = 0o120777 << 16
        packed.writestr(entry, "/etc/passwd")
    with pytest.raises(DataError, match="holds the link"):
        unpack(archive, tmp_path / "out")


def test_bombs_and_broken_archives_are_refused(tmp_path: Path) -> None:
    bomb = make_zip(tmp_path / "bomb.zip", {"zeros": bytes(5_000_000)})
    assert bomb.stat().st_size < 10_000
    with pytest.raises(DataError, match="more than the allowed size"):
        unpack(bomb, tmp_path / "out", max_bytes=1_000_000)
    assert not (tmp_path / "out").exists()
    whole = make_tar(tmp_path / "a.tgz", {"noise": bytes(range(256)) * 999}).read_bytes()
    for broken in (b"no archive", gzip.compress(b"no tar"), whole[: len(whole) // 2]):
        (tmp_path / "b.tgz").write_bytes(broken)
        with pytest.raises(DataError, match=r"b\.tgz' is "):
            unpack(tmp_path / "b.tgz", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["gz", "xz", "zip"])
def test_a_flipped_bit_in_an_archive_is_told(tmp_path: Path, kind: str) -> None:
    noise, archive = random.Random(0).randbytes(50_000), tmp_path / "a"
    if kind == "zip":
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_LZMA) as packed:
            packed.writestr("noise", noise)
    else:
        (tmp_path / "noise").write_bytes(noise)
        with tarfile.open(archive, f"w:{kind}") as packed:  # pyright: ignore[reportCallIssue, reportArgumentType]
            packed.add(tmp_path / "noise", "noise")
    content = bytearray(archive.read_bytes())
    content[len(content) // 2] ^= 1
    archive.write_bytes(content)
    with pytest.raises(DataError, match="is broken or cut off"):
        unpack(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [("method", 9, "compression method is not supported"), ("flags", 1, "is encrypted")],  # 9 is Deflate64
)
def test_what_zipfile_cannot_read_is_told(tmp_path: Path, field: str, value: int, told: str) -> None:
    content = bytearray(make_zip(tmp_path / "a.zip", {"fine": b"1"}).read_bytes())
    local, central = {"flags": (6, 8), "method": (8, 10)}[field]
    content[local] = content[content.index(b"PK\x01\x02") + central] = value
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(DataError, match=f"a\\.zip' cannot be unpacked here: .*{told}"):
        unpack(tmp_path / "a.zip", tmp_path / "out")
