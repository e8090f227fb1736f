"""Files that are whole or absent, their checksums, and the user's folders."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from safetensors import SafetensorError

from gnnrec.errors import DataError, GnnrecError

try:
    import fcntl
except ImportError:  # Windows has no flock: two processes on one file are then not told apart
    fcntl = None


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` on success, delete it on any failure.

    A reader therefore sees the old file, the new file or none, never half a file. A full disk or a folder
    that cannot be written is a GnnrecError that names the path.
    """
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        os.chmod(temporary, 0o666 & ~_umask())  # after the writer, who may have put a file of its own there
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
    except (OSError, SafetensorError) as error:  # safetensors hides the system's error in one of its own
        raise GnnrecError(
            f"cannot write '{path}': {getattr(error, 'strerror', None) or error}; nothing was left there"
        ) from error
    finally:
        if temporary is not None:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_text(path: str | Path, text: str) -> None:
    """Write a UTF-8 text file whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def lock_file(file: IO[Any], path: Path) -> bool:
    """Lock the open file until it is closed; return False if another process holds it or has taken it away.

    A file that its last owner has just removed or renamed is no longer at `path` and would hold nobody off.
    """
    if fcntl is not None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            pass  # a file system without locks
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except OSError:
        return False


@contextmanager
def only_writer(path: Path, lock: Path | None = None) -> Iterator[None]:
    """Hold a lock, by default PATH.lock; a DataError at once if another process is writing `path`."""
    lock = lock or path.with_name(path.name + ".lock")
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        held = lock.open("ab")
    except OSError as error:
        raise GnnrecError(f"cannot write '{path}': {error.strerror or error}") from error
    with held:
        if not lock_file(held, lock):
            raise DataError(f"another process is writing '{path}': wait for it to end, then run again")
        try:
            yield
        finally:
            with suppress(OSError):  # Windows removes no file that is open
                lock.unlink()


def sha256_file(path: str | Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits, reading it in blocks."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def data_home() -> Path:
    """Return the user's data folder: $GNNREC_DATA, else ~/.local/share/gnnrec (XDG_DATA_HOME is honoured)."""
    return _home("GNNREC_DATA", "XDG_DATA_HOME", ".local/share")


def cache_home() -> Path:
    """Return the user's cache folder: $GNNREC_CACHE, else ~/.cache/gnnrec (XDG_CACHE_HOME is honoured)."""
    return _home("GNNREC_CACHE", "XDG_CACHE_HOME", ".cache")


def _home(own: str, xdg: str, default: str) -> Path:
    if os.environ.get(own):
        return Path(os.environ[own]).expanduser()
    base = os.environ.get(xdg)
    return (Path(base) if base else Path.home() / default) / "gnnrec"
