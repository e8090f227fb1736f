"""Vectors on disk, addressed by what made them and by the text itself."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load, save

from gnnrec.files import whole_file

log = logging.getLogger(__name__)
_KEY_BYTES = 16


def text_keys(texts: Sequence[str]) -> list[bytes]:
    """Return the first 16 bytes of the SHA-256 of each text."""
    return [hashlib.sha256(t.encode("utf-8", "surrogatepass")).digest()[:_KEY_BYTES] for t in texts]


class VectorCache:
    """A folder of shards; each holds `keys` uint8 [n, 16] and `vectors` float32 [n, d].

    A shard is named by the SHA-256 of its bytes and appears by renaming: one that was cut or changed does
    not match its name, is deleted with a warning, and its texts count as missing; one that the system does not
    let read is left there. Any number of processes may read and write at once; at worst they encode the same
    text twice.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, keys: Sequence[bytes]) -> dict[bytes, np.ndarray]:
        """Return the vectors of those keys that are there."""
        wanted = set(keys)
        found: dict[bytes, np.ndarray] = {}
        for path in sorted(self.folder.glob("*.safetensors")):
            missing = wanted - found.keys()
            if not missing:
                break
            shard_keys = self._keys(path)
            if missing.isdisjoint(shard_keys):
                continue
            vectors = self._vectors(path)
            if vectors is not None:
                found.update((key, row) for key, row in zip(shard_keys, vectors) if key in missing)
        return found

    def write(self, keys: Sequence[bytes], vectors: np.ndarray) -> None:
        """Store one shard, whole or not at all."""
        table = np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(len(keys), _KEY_BYTES)
        content = save({"keys": table, "vectors": np.ascontiguousarray(vectors, dtype=np.float32)})
        with whole_file(self.folder / f"{_name(content)}.safetensors") as temporary:
            temporary.write_bytes(content)

    def _keys(self, path: Path) -> list[bytes]:
        try:
            with safe_open(path, framework="numpy") as shard:
                return [row.tobytes() for row in shard.get_tensor("keys")]
        except OSError as error:
            _warn_unread(path, error)
            return []
        except SafetensorError as error:
            self._discard(path, str(error))
            return []

    def _vectors(self, path: Path) -> np.ndarray | None:
        try:
            content = path.read_bytes()
        except OSError as error:
            _warn_unread(path, error)
            return None
        if _name(content) != path.stem:
            self._discard(path, "its content does not match its checksum")
            return None
        return load(content)["vectors"]

    def _discard(self, path: Path, reason: str) -> None:
        log.warning("the cache file '%s' is damaged (%s): its texts are encoded again", path, reason)
        with suppress(OSError):  # a folder that is read only
            path.unlink()


def _warn_unread(path: Path, error: OSError) -> None:
    log.warning("the cache file '%s' cannot be read (%s): its texts are encoded again", path, error)


def _name(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]
