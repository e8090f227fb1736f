"""The processors that a container or a batch system allows, and that libraries start no more threads."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gnnrec import control_groups

ROOT = Path(__file__).resolve().parents[1]
V1 = ("cpu.cfs_quota_us", "cpu.cfs_period_us")


@pytest.mark.parametrize(
    ("line", "files", "allowed"),
    [
        ("0::/job", {"job/cpu.max": "150000 100000\n"}, 2),
        ("0::/job", {"job/cpu.max": "50000 100000\n"}, 1),
        ("0::/job", {"job/cpu.max": "max 100000\n"}, None),
        (
            "0::/job/step",
            {"job/step/cpu.max": "max 100000", "job/cpu.max": "300000 100000"},
            3,
        ),  # the group around it
        ("0::/job/step", {"job/step/cpu.max": "400000 100000", "job/cpu.max": "300000 100000"}, 3),
        ("0::/", {"cpu.max": "200000 100000"}, 2),
        ("0::/outside/../of/here", {"cpu.max": "200000 100000"}, 2),  # as some containers see it
        ("4:cpu,cpuacct:/job", {f"cpu/job/{V1[0]}": "200000", f"cpu/job/{V1[1]}": "100000"}, 2),
        ("4:cpu:/job", {f"cpu/job/{V1[0]}": "-1", f"cpu/job/{V1[1]}": "100000"}, None),
        ("4:cpuset:/job", {f"cpu/job/{V1[0]}": "200000", f"cpu/job/{V1[1]}": "100000"}, None),
        ("0::/job", {"job/cpu.max": ""}, None),
        ("0::/job", {}, None),
    ],
)
def test_processors_are_those_of_the_strictest_group(
    line: str, files: dict[str, str], allowed: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_groups(tmp_path, line, files)
    monkeypatch.setattr(control_groups, "GROUPS", tmp_path / "groups")
    monkeypatch.setattr(control_groups, "GROUPS_OF_PROCESS", tmp_path / "of_process")
    assert control_groups.processors() == allowed


def test_without_control_groups_nothing_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_groups, "GROUPS_OF_PROCESS", tmp_path / "absent")
    assert control_groups.processors() is None


@pytest.mark.parametrize(
    ("quota", "processors", "own", "threads"),
    [
        (80_000, 64, None, "1"),
        (300_000, 2, None, "unset"),  # no more than there are anyway
        (300_000, 64, "1", "1"),  # the user's word
    ],
)
def test_entry_points_start_as_many_threads_as_may_run(
    quota: int, processors: int, own: str | None, threads: str, tmp_path: Path
) -> None:
    write_groups(tmp_path, "0::/", {"cpu.max": f"{quota} 100000"})
    code = (
        "import os, pathlib\n"
        "from gnnrec import control_groups\n"
        f"control_groups.GROUPS = pathlib.Path({str(tmp_path / 'groups')!r})\n"
        f"control_groups.GROUPS_OF_PROCESS = pathlib.Path({str(tmp_path / 'of_process')!r})\n"
        f"os.sched_getaffinity = lambda _: set(range({processors}))\n"
        "import experiments.run, torch\n"
        "told = os.environ.get('OMP_NUM_THREADS', 'unset')\n"
        "assert told in ('unset', str(torch.get_num_threads())), (told, torch.get_num_threads())\n"
        "print(told)"
    )
    environment = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    environment |= {"OMP_NUM_THREADS": own} if own else {}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == threads


def write_groups(folder: Path, line: str, files: dict[str, str]) -> None:
    """Write control groups as the kernel shows them: the line of the process, and files by their path."""
    for name, text in files.items():
        path = folder / "groups" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (folder / "of_process").write_text(f"7:pids:/\n{line}\n")
