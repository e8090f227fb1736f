"""What a run was made with: code, packages, machine, memory and time."""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from gnnrec.typed import TARGET

try:
    import resource
except ImportError:  # Windows: peak memory is then unknown
    resource = None

PACKAGES = (
    "gnnrec",
    "torch",
    "torch-geometric",
    "transformers",
    "tokenizers",
    "numpy",
    "scipy",
    "pandas",
    "networkx",
    "safetensors",
    "pyarrow",
    "wandb",
)
ROOT = Path(__file__).resolve().parents[1]
logger = logging.getLogger(__name__)
_told: set[Path] = set()  # folders of which a warning has spoken


class Phases:
    """Wall seconds by phase; a phase entered several times adds up.

    >>> phases = Phases()
    >>> with phases("train"):
    ...     pass
    >>> list(phases.seconds)
    ['train']
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


def environment(device: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return first git state, hash of the sources, package versions, machine, threads and peak memory of this process.

    `git` is absent outside a checkout of this project. Peak memory is the process's resident maximum in MiB
    since it started, so in a table of many runs it is the maximum of the runs so far.
    """
    git = first_git_state()
    return {
        **({"git": git} if git else {}),
        "sources": source_hash(config),
        "python": platform.python_version(),
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
        "platform": platform.platform(),
        "device": device,
        **({"device_name": torch.cuda.get_device_name(device)} if device.startswith("cuda") else {}),
        "processors": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "peak_memory_mib": peak_memory_mib(),
    }


def source_hash(config: Mapping[str, Any]) -> str:
    """Return a hash of the code that a configuration runs, as its files were when first asked for.

    These are the package's Python files and those of the modules elsewhere that a `_target_` of the configuration
    names, without what they import in turn.
    """
    return _hash_sources(tuple(sorted(_own_modules(config))))


@cache
def _hash_sources(modules: tuple[str, ...]) -> str:
    package = ROOT / "gnnrec"
    files = {path.relative_to(package).as_posix(): path for path in sorted(package.rglob("*.py"))}
    files |= {module: path for module in modules if (path := _file_of(module)) is not None}
    digest = hashlib.sha256()
    for name, path in files.items():
        content = path.read_bytes()
        digest.update(f"{name} {len(content)}\n".encode() + content)
    return digest.hexdigest()[:16]


def _own_modules(value: Any) -> set[str]:
    """Return the modules outside this package that the `_target_`s in a configuration name."""
    if isinstance(value, Mapping):
        found = {str(value[TARGET]).rpartition(".")[0]} if TARGET in value else set()
        found = {module for module in found if module.partition(".")[0] != "gnnrec"}
        return found.union(*map(_own_modules, value.values()))
    if isinstance(value, list | tuple):
        return set().union(*map(_own_modules, value))
    return set()


def _file_of(module: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return None
    return Path(spec.origin) if spec is not None and spec.origin and Path(spec.origin).is_file() else None


def tell_other_code(sources: str | None, config: Mapping[str, Any], path: Path) -> None:
    """Warn, once for a folder, where what is read from `path` below it was not made with the code of now.

    Args:
        sources: the hash that was written beside it. config: what was run.
    """
    if sources in (None, source_hash(config)) or path.parent in _told:
        return
    _told.add(path.parent)
    logger.warning(
        "'%s' was made with other code than this, and is read as it is; delete it to have it made anew (others in '%s' "
        "are not named)",
        path,
        path.parent,
    )


@cache
def first_git_state() -> dict[str, Any] | None:
    """Return the git state as it was when this process first asked: what it runs is what it read then."""
    return git_state()


def git_state(root: Path = ROOT) -> dict[str, Any] | None:
    """Return the commit and whether any file outside results/ differs from it (None if git did not say).

    None outside a checkout.
    """
    top = _git(root, "rev-parse", "--show-toplevel")
    commit = _git(root, "rev-parse", "HEAD")
    # a package installed somewhere below another project's checkout must not report that project's commit
    if not top or not commit or Path(top).resolve() != root.resolve():
        return None
    changes = _git(root, "status", "--porcelain", "--", ".", ":(exclude)results")
    return {"commit": commit, "dirty": None if changes is None else bool(changes)}


def peak_memory_mib() -> float | None:
    """Return the largest resident size of this process so far in MiB; None where it cannot be told.

    Not by getrusage where Linux tells it otherwise: there a process begins with the peak of the one that started it.
    """
    with suppress(OSError):
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        for line in lines:
            if line.startswith("VmHWM:"):
                return round(int(line.split()[1]) / 2**10, 1)
    if resource is None:
        return None
    unit = 2**20 if sys.platform == "darwin" else 2**10  # bytes on macOS, KiB elsewhere
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, 1)


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    # as paths are read here: git writes their bytes, whatever the locale
    return os.fsdecode(done.stdout).strip() if done.returncode == 0 else None


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
