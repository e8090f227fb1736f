"""Files that are whole or absent, whoever writes them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from gnnrec.errors import GnnrecError
from gnnrec.files import whole_file
from gnnrec.tracking import RunDir

resource = pytest.importorskip("resource")  # not on Windows


@contextmanager
def full_disk() -> Iterator[None]:
    """Let no file grow above 1000 bytes: within a test alone, since what pytest writes to may be a file, too."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_tensors_that_do_not_fit_on_the_disk_are_told(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    with (
        full_disk(),
        pytest.raises(GnnrecError, match=r"cannot write '.*weights.safetensors': .*too large"),
        whole_file(path) as temporary,
    ):
        save_file({"weights": torch.zeros(1000)}, temporary)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_half_written_is_deleted(tmp_path: Path) -> None:
    with RunDir(tmp_path, "key") as run_dir:
        run_dir.write_config({})
        (run_dir.figures / ".lorenz.png.x.part").write_text("half")
    left = run_dir.path / ".checkpoint.safetensors.x.part"
    left.write_text("half")
    with RunDir(tmp_path, "key"):
        assert sorted(path.name for path in run_dir.path.rglob("*")) == [".lock", "config.yaml", "figures"]
