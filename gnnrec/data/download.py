"""Fetching and unpacking published archives: resumed, checked, and never outside the target folder."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import logging
import lzma
import os
import shutil
import stat
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from gnnrec.errors import DataError
from gnnrec.files import lock_file
from gnnrec.progress import Progress

logger = logging.getLogger(__name__)

_BLOCK = 1 << 20
_BROKEN = (zipfile.BadZipFile, tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError)


def download(
    url: str, path: str | Path, checksum: str | None = None, retries: int = 5, pause: float = 1.0
) -> Path:
    """Fetch `url` to `path` with a progress bar, and return the path; a whole file that is there is kept.

    Bytes go to `path`.part first. A connection that breaks is resumed where it ended, if the server can, and
    so is a .part left by an earlier try, if there is a checksum: else nothing would tell that it is of an
    older release. After `retries` breaks in a row without a new byte it is a DataError, and the .part stays.
    `checksum` is "sha256:HEX" or "md5:HEX"; a file that does not match is removed, a DataError. While another
    process is fetching the file it is a DataError, too.
    """
    path = Path(path)
    part = path.with_name(path.name + ".part")
    if path.is_file():
        check_sum(path, checksum)
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("ab") as held:
            if not lock_file(held, part):
                raise DataError(f"another process is fetching '{path}': wait for it to end, then run again")
            if checksum is None:
                held.truncate(0)
            try:
                _fetch(url, part, retries, pause)
                check_sum(part, checksum)
            except (DataError, OSError) as error:
                if isinstance(error, DataError) or not part.stat().st_size:
                    part.unlink()
                raise
            part.replace(path)
    except urllib.error.HTTPError as error:
        raise DataError(
            f"'{url}' cannot be fetched: {error.code} {error.reason}; use --from with your own copy"
        ) from error
    except OSError as error:
        reason = getattr(error, "reason", None) or error
        kept = f"what came is kept in '{part}', run again" if checksum and part.is_file() else "run again"
        raise DataError(f"'{url}' cannot be fetched: {reason}; {kept}") from error
    return path


def _fetch(url: str, part: Path, retries: int, pause: float) -> None:
    failures = 0
    while True:
        before = part.stat().st_size if part.is_file() else 0
        try:
            total = _fetch_once(url, part)
        except urllib.error.HTTPError as error:
            if error.code != 416 or not before:  # 416: nothing is left after the last byte we have
                raise
            total = int((error.headers.get("Content-Range") or f"*/{before}").rpartition("/")[2])
            if total != before:
                os.truncate(part, 0)  # it is longer than the file: it is of another one
                continue
        except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
            failures = 0 if part.is_file() and part.stat().st_size > before else failures + 1
            if failures > retries:
                raise OSError(f"the connection broke {failures} times ({error})") from error
            logger.warning("%s: connection broke, resuming: %s", url, error)
            time.sleep(pause)
            continue
        size = part.stat().st_size
        if total is None or size == total:
            return
        failures = failures + 1 if size == before else 0
        if failures > retries:
            raise OSError(f"{size} of {total} bytes came")
        time.sleep(pause)


def _fetch_once(url: str, part: Path) -> int | None:
    """Append what the server sends to `part` and return the size of the whole file, if it tells."""
    begin = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "gnnrec"})
    if begin:
        request.add_header("Range", f"bytes={begin}-")
    with urllib.request.urlopen(request, timeout=60) as response:
        resumed = response.status == 206
        length = response.headers.get("Content-Length")
        total = None if length is None else int(length) + (begin if resumed else 0)
        with (
            part.open("ab" if resumed else "wb") as stream,
            Progress(total=total, initial=begin if resumed else 0, name=part.stem, unit="B") as bar,
        ):
            while block := response.read(_BLOCK):
                stream.write(block)
                bar.update(len(block))
    return total


def check_sum(path: str | Path, checksum: str | None) -> None:
    """Raise a DataError unless the file has the checksum "sha256:HEX" or "md5:HEX" (None: anything goes)."""
    if checksum is None:
        return
    kind, _, expected = checksum.partition(":")
    if kind not in ("sha256", "md5") or not expected:
        raise DataError(f"a checksum must be 'sha256:HEX' or 'md5:HEX' (got {checksum!r})")
    with Path(path).open("rb") as stream:
        found = hashlib.file_digest(stream, kind).hexdigest()
    if found != expected.lower():
        raise DataError(
            f"'{path}': the {kind} checksum does not match (expected {expected}, got {found}); fetch it again"
        )


def fetch_checksum(url: str, kind: str = "md5") -> str:
    """Return the checksum that the origin publishes at `url`: the first word of that many digits in it."""
    digits = {"md5": 32, "sha256": 64}[kind]
    request = urllib.request.Request(url, headers={"User-Agent": "gnnrec"})
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            words = response.read(4096).decode("ascii", "replace").split()
    except OSError as error:
        raise DataError(f"the checksum at '{url}' cannot be fetched: {error}") from error
    for word in words:
        if len(word) == digits and set(word.lower()) <= set("0123456789abcdef"):
            return f"{kind}:{word.lower()}"
    raise DataError(f"there is no {kind} checksum at '{url}'")


def unpack(archive: str | Path, folder: str | Path, max_bytes: int = 64 * 1024**3) -> Path:
    """Unpack a .zip, .tar, .tar.gz, .tgz or .tar.bz2 archive into `folder`: all of it or nothing.

    Only plain files and folders are written. A member with an absolute path, with '..', or that is a link or
    a device is a DataError, and so is one that is in `folder` already, and more than `max_bytes` of content;
    sizes are counted, not believed.
    """
    archive, folder = Path(archive), Path(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as scratch:
            room = max_bytes
            for name, stream in _members(archive):
                room -= _write_member(stream, Path(scratch) / _safe(name, archive), room, archive)
            _move_into(Path(scratch), folder, archive)
    except _BROKEN as error:
        raise DataError(f"'{archive}' is broken or cut off: {error}") from error
    except RuntimeError as error:  # a password or a compression that Python does not have
        raise DataError(f"'{archive}' cannot be unpacked here: {error}; unpack it by other means") from error
    except OSError as error:
        raise DataError(f"'{archive}' cannot be unpacked to '{folder}': {error.strerror or error}") from error
    return folder


def _members(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as packed:
            for entry in packed.infolist():
                if stat.S_ISLNK(entry.external_attr >> 16):
                    raise DataError(f"'{archive}' holds the link '{entry.filename}': not unpacked")
                if not entry.is_dir():
                    with packed.open(entry) as stream:
                        yield entry.filename, stream
    elif tarfile.is_tarfile(archive):
        with tarfile.open(archive) as packed:
            for entry in packed:
                if entry.isdir():
                    continue
                stream = packed.extractfile(entry) if entry.isreg() else None
                if stream is None:
                    raise DataError(f"'{archive}' holds '{entry.name}', which is no plain file: not unpacked")
                yield entry.name, stream
            while packed.fileobj.read(_BLOCK):  # a compressed file has its checksum after the last member
                pass
    else:
        raise DataError(f"'{archive}' is no zip or tar archive, or is cut off")


def _safe(name: str, archive: Path) -> PurePosixPath:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or not path.parts or ":" in path.parts[0] or "\0" in name:
        raise DataError(f"'{archive}' holds '{name}', a path outside the folder: nothing was unpacked")
    return path


def _write_member(stream: IO[bytes], path: Path, room: int, archive: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with path.open("wb") as target:
        while block := stream.read(_BLOCK):
            written += len(block)
            if written > room:
                raise DataError(f"'{archive}' unpacks to more than the allowed size: nothing was unpacked")
            target.write(block)
    return written


def _move_into(scratch: Path, folder: Path, archive: Path) -> None:
    folder.mkdir(exist_ok=True)
    entries = sorted(scratch.rglob("*"))
    for entry in entries:
        target = folder / entry.relative_to(scratch)
        if target.exists() and not (entry.is_dir() and target.is_dir()):
            raise DataError(
                f"'{archive}' holds '{entry.relative_to(scratch)}', which is in '{folder}' already, maybe from another "
                "archive: take one archive alone"
            )
    for entry in entries:
        target = folder / entry.relative_to(scratch)
        if entry.is_dir():
            target.mkdir(exist_ok=True)
        else:
            shutil.move(entry, target)
