"""What a container or a batch system leaves a process: the control groups of Linux, both versions."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

GROUPS, GROUPS_OF_PROCESS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def memory_left() -> Iterator[int]:
    """Yield the bytes that each limited group of this process, and each one around it, leaves."""
    for folder, version in _groups("memory"):
        with suppress(OSError, ValueError):  # absent in a container; 'max' is no limit
            if version == 2:
                yield _left(folder, "memory.max", "memory.current", "inactive_file")
            else:
                yield _left(folder, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def processors() -> int | None:
    """Return how many processors' time this process may use, rounded up; None where no group limits it."""
    shares = []
    for folder, version in _groups("cpu"):
        with suppress(OSError, ValueError):
            if version == 2:
                quota, period = (folder / "cpu.max").read_text().split()
            else:
                quota, period = ((folder / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
            if int(quota) > 0:  # version 1 writes -1 for no limit
                shares.append(int(quota) / int(period))
    return math.ceil(min(shares)) if shares else None


def _groups(controller: str) -> Iterator[tuple[Path, int]]:
    """Yield the folder of the group that has this controller, those of the groups around it, and the version."""
    try:
        lines = GROUPS_OF_PROCESS.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            root, version = GROUPS, 2
        elif controller in controllers.split(","):
            root, version = GROUPS / controller, 1
        else:
            continue
        group = root / path.lstrip("/")
        for folder in (group, *group.parents[: len(group.relative_to(root).parts)]):
            yield folder, version


def _left(folder: Path, limit: str, used: str, file_pages: str) -> int:
    """Return limit - used, where pages of files that the kernel may drop are not used."""
    stat = (folder / "memory.stat").read_text(encoding="ascii").split()
    dropped = dict(zip(stat[::2], stat[1::2])).get(file_pages, "0")
    counted = int((folder / used).read_text()) - int(dropped)
    return max(int((folder / limit).read_text()) - counted, 0)
