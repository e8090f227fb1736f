"""How much memory is free, and what the C library does with what is freed."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

GROUPS, GROUPS_OF_PROCESS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def keep_freed_memory() -> bool:
    """Have the C library keep what is freed for the next matrix; return whether it will (glibc alone).

    By default glibc gives a block of some megabytes back to the system at once, and every step's matrices are fresh
    pages that the kernel must clear: a quarter of a training step on Gowalla, a tenth of encoding texts
    (docs/performance.md). The setting holds for the process and is never undone: it keeps the memory of its peak.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    # M_MMAP_THRESHOLD is -3 and M_TRIM_THRESHOLD -1 in glibc's malloc.h; before 2.35 it refuses so high a threshold.
    return bool(mallopt(-3, 1 << 30)) and bool(mallopt(-1, (1 << 31) - 1))


def available_memory() -> int | None:
    """Return the bytes that can be allocated without swapping, None where the system does not tell.

    Where a container or a batch system limits the process (a control group of Linux), no more than that leaves.
    """
    free = _free_memory()
    return free if free is None else min([free, *_left_by_groups()])


def _free_memory() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        lines = []
    found = [int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")]
    if found:
        return found[0] * 1024
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return None


def _left_by_groups() -> Iterator[int]:
    """Yield what each limited control group of this process, and each one around it, leaves."""
    try:
        lines = GROUPS_OF_PROCESS.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":  # version 2
            root, names = GROUPS, ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            root = GROUPS / "memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        group = root / path.lstrip("/")
        for folder in (group, *group.parents[: len(group.relative_to(root).parts)]):
            with suppress(OSError, ValueError):  # absent in a container; 'max' is no limit
                yield _left(folder, *names)


def _left(folder: Path, limit: str, used: str, file_pages: str) -> int:
    """Return limit - used, where pages of files that the kernel may drop are not used."""
    stat = (folder / "memory.stat").read_text(encoding="ascii").split()
    dropped = dict(zip(stat[::2], stat[1::2])).get(file_pages, "0")
    counted = int((folder / used).read_text()) - int(dropped)
    return max(int((folder / limit).read_text()) - counted, 0)
