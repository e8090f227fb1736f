"""The import direction of docs/design.md, and which file may import which library."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# A part may import itself, its own line without a circle, and every line above it.
DIRECTION = (
    ("allocator", "checksum", "control_groups", "devices", "errors", "files", "progress", "typed", "unit"),
    ("data",),
    ("bags", "products", "svd", "text"),
    ("edges",),
    ("graph",),
    ("propagation",),
    ("features", "views", "encoders", "losses"),
    ("objectives", "model"),
    ("training", "baselines"),
    ("evaluation", "tracking", "manifest", "report"),
    ("config", "protocol"),
    ("make",),
    ("run",),
    ("experiments",),
)
RANK = {part: rank for rank, parts in enumerate(DIRECTION) for part in parts}
ONLY_DATA = ("evaluation",)  # scores anything, knows no model
EXCLUSIVE = {
    "hydra": ("experiments/",),
    "omegaconf": ("experiments/",),
    "wandb": ("gnnrec/tracking.py",),
    "transformers": ("gnnrec/text/",),
    "tokenizers": ("gnnrec/text/",),
    "networkx": ("gnnrec/graph.py", "gnnrec/data/convert.py"),
    "matplotlib": ("gnnrec/report/",),
    "tqdm": ("gnnrec/progress.py",),
    "pickle": (),
    "dill": (),
    "joblib": (),
}


def imported(source: str) -> set[str]:
    """Return the dotted names that a file imports, wherever in the file it does so."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            names.add("." * node.level + base)
            if base == "gnnrec" and not node.level:  # from gnnrec import files
                names |= {f"gnnrec.{alias.name}" for alias in node.names}
    return names


def violations(files: Mapping[str, str]) -> list[str]:
    """Return one line per import that breaks a rule; `files` maps a path below the root to its source."""
    found = []
    edges: dict[str, set[str]] = {}
    for path, source in files.items():
        own = _part(path)
        if own not in RANK:
            found.append(f"{path}: '{own}' has no place in docs/design.md")
            continue
        for name in imported(source):
            allowed = EXCLUSIVE.get(name.split(".")[0])
            if allowed is not None and not path.startswith(allowed):
                found.append(f"{path}: imports {name}")
            if name.startswith("."):
                found.append(f"{path}: relative import")
            other = _imported_part(name)
            if other is None or other == own:
                continue
            edges.setdefault(own, set()).add(other)
            if RANK.get(other, 99) > RANK[own]:
                found.append(f"{path}: {own} imports {other}, which comes after it")
            if own in ONLY_DATA and other not in ("errors", "files", "progress", "data"):
                found.append(f"{path}: {own} imports {other}, not data only")
    found += [
        f"{one} and {two} import each other"
        for one in edges
        for two in edges[one]
        if one in edges.get(two, ())
    ]
    return sorted(found)


def _part(path: str) -> str:
    parts = Path(path).with_suffix("").parts
    return parts[0] if parts[0] == "experiments" else parts[1]


def _imported_part(name: str) -> str | None:
    parts = name.split(".")
    if parts[0] == "experiments":
        return "experiments"
    return parts[1] if parts[0] == "gnnrec" and len(parts) > 1 else None


def test_the_project_keeps_its_direction() -> None:
    paths = [*(ROOT / "gnnrec").rglob("*.py"), *(ROOT / "experiments").glob("*.py")]
    files = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in paths}
    files = {path: source for path, source in files.items() if not path.endswith("gnnrec/__init__.py")}
    files = {path: source for path, source in files.items() if path != "gnnrec/__init__.py"}
    assert len(files) > 20
    assert violations(files) == []


@pytest.mark.parametrize(
    ("path", "source", "complaint"),
    [
        (
            "gnnrec/data/x.py",
            "from gnnrec.graph import BipartiteGraph",
            "data imports graph, which comes after",
        ),
        ("gnnrec/files.py", "def f():\n    import gnnrec.run", "files imports run, which comes after"),
        ("gnnrec/files.py", "from gnnrec import run", "files imports run, which comes after"),
        ("gnnrec/evaluation/x.py", "from gnnrec.model import Recommender", "not data only"),
        ("gnnrec/evaluation/x.py", "from gnnrec.graph import a", "not data only"),
        ("gnnrec/run.py", "import hydra", "imports hydra"),
        ("gnnrec/config.py", "from omegaconf import OmegaConf", "imports omegaconf"),
        ("gnnrec/report/x.py", "import wandb.sdk", "imports wandb.sdk"),
        ("gnnrec/model.py", "from transformers import AutoModel", "imports transformers"),
        ("gnnrec/data/x.py", "import networkx as nx", "imports networkx"),
        ("gnnrec/report/x.py", "import networkx as nx", "imports networkx"),
        ("gnnrec/data/x.py", "import pickle", "imports pickle"),
        ("gnnrec/data/x.py", "from . import y", "relative import"),
        ("gnnrec/unknown.py", "", "'unknown' has no place"),
        ("gnnrec/model.py", "import experiments.cli", "model imports experiments, which comes after"),
    ],
)
def test_a_wrong_import_is_seen(path: str, source: str, complaint: str) -> None:
    [line] = violations({path: source})
    assert complaint in line


def test_a_circle_between_two_parts_is_seen() -> None:
    circle = {
        "gnnrec/features.py": "from gnnrec.views import View",
        "gnnrec/views.py": "from gnnrec.features import x",
    }
    assert any("import each other" in line for line in violations(circle))


def test_right_imports_are_not_complained_of() -> None:
    right = {
        "gnnrec/tracking.py": "import wandb\nfrom gnnrec.files import whole_file",
        "gnnrec/text/x.py": "from transformers import AutoModel\nfrom gnnrec.text.y import z",
        "experiments/run.py": "import hydra\nfrom gnnrec.run import run\nfrom experiments.cli import main",
    }
    assert violations(right) == []


def test_a_run_loads_no_slow_library_before_it_needs_it() -> None:
    slow = ("scipy.stats", "wandb", "transformers", "matplotlib.figure")
    code = f"import sys, gnnrec.run; print([name for name in {slow} if name in sys.modules])"
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert told.stdout == "[]\n"
