"""Freed memory stays with the process, and what is free is known."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gnnrec.allocator import available_memory

ROOT = Path(__file__).resolve().parents[1]


def test_freed_matrices_are_used_again() -> None:
    """Without it each 32 MiB block is 8,192 fresh pages, each time; with it, in the long run, hardly one."""
    code = (
        "import resource, torch; from gnnrec.allocator import keep_freed_memory\n"
        "kept = keep_freed_memory(); faults = []\n"
        "for _ in range(16):\n"
        "    torch.zeros(1 << 23).add_(1)\n"
        "    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)\n"
        "print(int(kept), faults[15] - faults[7])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    kept, faults = map(int, done.stdout.split())
    if not kept:
        pytest.skip("the C library of this machine gives freed blocks back")
    assert faults < 8 * 8192 // 2


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems may not tell")
def test_free_memory_is_known_with_and_without_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*_: object, **__: object) -> str:
        raise FileNotFoundError

    told = available_memory()
    monkeypatch.setattr(Path, "read_text", absent)
    for free in (told, available_memory()):
        assert free is not None
        assert 1 << 20 < free < 1 << 50
