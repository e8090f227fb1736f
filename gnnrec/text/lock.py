"""One process at a time at one file or folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gnnrec.errors import DataError, GnnrecError
from gnnrec.files import lock_file


@contextmanager
def only_writer(path: Path) -> Iterator[None]:
    """Hold a lock on PATH.lock; a DataError at once if another process is writing `path`."""
    lock = path.with_name(path.name + ".lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        held = lock.open("ab")
    except OSError as error:
        raise GnnrecError(f"cannot write '{path}': {error.strerror or error}") from error
    with held:
        if not lock_file(held, lock):
            raise DataError(f"another process is writing '{path}': wait for it to end, then run again")
        try:
            yield
        finally:
            with suppress(OSError):
                lock.unlink()
