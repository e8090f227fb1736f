"""Freed memory stays with the process, and what is free is known."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gnnrec import allocator, control_groups
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


V2 = {"memory.max": "max", "memory.current": "5000", "memory.stat": "anon 4000\ninactive_file 1000\n"}
V1 = {
    "memory.limit_in_bytes": str(2**63 - 4096),
    "memory.usage_in_bytes": "5000",
    "memory.stat": "inactive_file 1\ntotal_inactive_file 1000\n",
}


@pytest.mark.parametrize(
    ("line", "folder", "files", "left"),
    [
        ("0::/job/step", "job/step", {**V2, "memory.max": "90000"}, 86_000),
        ("0::/job/step", "job", {**V2, "memory.max": "90000"}, 86_000),  # the group around it
        ("0::/job/step", "job/step", V2, None),
        ("0::/", "", {**V2, "memory.max": "4000"}, 0),
        ("0::/outside/../of/here", "", {**V2, "memory.max": "90000"}, 86_000),  # as some containers see it
        ("4:cpu,memory:/job", "memory/job", {**V1, "memory.limit_in_bytes": "90000"}, 86_000),
        ("4:memory:/absent", "memory", {**V1, "memory.limit_in_bytes": "90000"}, 86_000),
        ("4:memory:/job", "memory/job", V1, None),
        ("3:cpuset:/job", "memory/job", {**V1, "memory.limit_in_bytes": "90000"}, None),
        ("0::/job", "job", {"memory.max": "90000"}, None),
    ],
)
def test_a_limit_of_a_container_or_a_batch_system_counts(
    line: str,
    folder: str,
    files: dict[str, str],
    left: int | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "groups" / folder).mkdir(parents=True)
    for name, text in files.items():
        (tmp_path / "groups" / folder / name).write_text(text)
    (tmp_path / "of_process").write_text(f"7:pids:/\n{line}\n")
    monkeypatch.setattr(control_groups, "GROUPS", tmp_path / "groups")
    monkeypatch.setattr(control_groups, "GROUPS_OF_PROCESS", tmp_path / "of_process")
    monkeypatch.setattr(allocator, "_free_memory", lambda: 10**9)
    assert available_memory() == (10**9 if left is None else left)
