"""Shards that the system does not let read or delete."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gnnrec.text import cache as cache_module
from gnnrec.text.cache import VectorCache, text_keys

KEYS = text_keys(["a", "b"])


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    VectorCache(tmp_path).write(KEYS, np.eye(2))
    (path,) = tmp_path.iterdir()
    return path


def forbid(*_: Any, **__: Any) -> None:
    raise PermissionError(13, "Permission denied")


@pytest.mark.parametrize(("owner", "name"), [(cache_module, "safe_open"), (Path, "read_bytes")])
def test_a_shard_that_may_not_be_read_is_passed_over_and_stays(
    owner: Any, name: str, shard: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as patched:
        patched.setattr(owner, name, forbid)
        assert VectorCache(shard.parent).read(KEYS) == {}
    assert f"the cache file '{shard}' cannot be read ([Errno 13] Permission denied)" in caplog.text
    assert VectorCache(shard.parent).read(KEYS).keys() == set(KEYS)


def test_a_folder_named_like_a_shard_is_passed_over(shard: Path, caplog: pytest.LogCaptureFixture):
    (shard.parent / "0.safetensors").mkdir()
    assert VectorCache(shard.parent).read(KEYS).keys() == set(KEYS)
    assert "0.safetensors' cannot be read" in caplog.text


def test_a_damaged_shard_that_cannot_be_deleted_is_passed_over(
    shard: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    content = shard.read_bytes()
    monkeypatch.setattr(Path, "unlink", forbid)
    for damaged in (content[:-1] + b"\1", content[:9]):
        shard.write_bytes(damaged)
        assert VectorCache(shard.parent).read(KEYS) == {}
        assert "is damaged" in caplog.text
        caplog.clear()
