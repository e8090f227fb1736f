"""How much memory is free, and what the C library does with what is freed."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

from gnnrec.control_groups import memory_left


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
    return free if free is None else min([free, *memory_left()])


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
