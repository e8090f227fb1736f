"""Whole runs with several blocks per item."""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from experiments.compose import compose_config
from gnnrec.config import RunConfig
from gnnrec.data.native import write_native
from gnnrec.data.planted import planted_dataset
from gnnrec.errors import ConfigError
from gnnrec.features import (
    COMBINATIONS,
)
from gnnrec.run import run, validate


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Planted data, with a column of tags and an 'image' vector for two thirds of the items."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GNNREC_CACHE", str(tmp_path_factory.mktemp("cache")))
        dataset = planted_dataset(num_users=80, num_items=60, seed=0)
        dataset.items["tags"] = [
            f"block{b},any" if i % 5 else "" for i, b in enumerate(dataset.items["block"])
        ]
        path = write_native(dataset, tmp_path_factory.mktemp("data") / "planted")
        covers = np.eye(3)[dataset.items["block"]] + np.random.default_rng(0).normal(size=(60, 3)) * 0.1
        np.save(path / "covers.npy", covers[::3])
        ids = dataset.items["item_id"].tolist()[::3]
        (path / "covers.npy.ids.json").write_text(str(ids).replace("'", '"'))
        yield path


def config(folder: Path, **init: Any) -> RunConfig:
    return RunConfig.from_dict(
        {
            "dataset": {"name": str(folder)},
            "split": {"name": "cold_item", "params": {"cold": 0.3}},
            "text": {"model": "hash"},
            "init": {"dim": 16, "mode": "id_text", **init},
            "model": {
                "encoder": {"_target_": "gnnrec.encoders.LightGCN"},
                "objective": {
                    "rank": {"term": {"_target_": "gnnrec.objectives.Softmax", "negatives": "all"}}
                },
            },
            "train": {"epochs": 8, "batch_size": 256, "lr": 0.02, "select": "ndcg@10", "eval_every": 8},
            "eval": {"ks": [5, 10], "metrics": ["recall", "ndcg"]},
            "tracking": {"mode": "disabled", "root": str(folder.parent / "runs")},
        }
    )


def item_blocks(folder: Path) -> dict[str, Any]:
    return {
        "text": {"columns": ["text"]},
        "tags": {"kind": "bag", "columns": ["tags"], "missing": "learned"},
        "cover": {"kind": "vectors", "path": str(folder / "covers.npy")},
    }


COLD_ONLY = "validation/cold_only/recall@5"


def test_every_combination_of_blocks_finds_cold_items(folder: Path) -> None:
    for combine in COMBINATIONS:
        found = validate(config(folder, item_blocks=item_blocks(folder), combine=combine))[COLD_ONLY]
        assert found > 5 / 18 + 0.25, combine


@pytest.mark.parametrize("kind", ["bag", "multi_hot"])
def test_categories_alone_find_cold_items(folder: Path, kind: str) -> None:
    blocks = {"block": {"kind": kind, "columns": ["block"]}}
    assert validate(config(folder, item_blocks=blocks))[COLD_ONLY] > 5 / 18 + 0.25


def test_shuffled_blocks_find_no_cold_items(folder: Path) -> None:
    values = config(folder, item_blocks=item_blocks(folder)).to_dict()
    values["text"]["control"] = "shuffled"
    assert validate(RunConfig.from_dict(values))[COLD_ONLY] < 5 / 18 + 0.2


def test_a_run_with_blocks_is_kept_and_keyed_by_what_they_hold(folder: Path) -> None:
    one = config(
        folder, item_blocks=item_blocks(folder), user_blocks={"text": {"columns": ["text"]}}, users="text"
    )
    result = run(one)
    assert result.metrics["test/cold_only/recall@5"] > 0.4
    assert run(one).path == result.path
    moved = folder.parent / "elsewhere.npy"
    for ending in ("", ".ids.json"):
        moved.with_name(moved.name + ending).write_bytes((folder / f"covers.npy{ending}").read_bytes())
    blocks = item_blocks(folder)
    blocks["cover"]["path"] = str(moved)
    same = config(folder, item_blocks=blocks, user_blocks={"text": {"columns": ["text"]}}, users="text")
    assert same.key("x") == one.key("x")
    blocks["tags"]["min_count"] = 2
    assert config(folder, item_blocks=blocks).key("x") != config(folder, item_blocks=item_blocks(folder)).key(
        "x"
    )


def test_blocks_that_nothing_reads_are_told(folder: Path) -> None:
    blocks = {"text": {"columns": ["text"]}}
    with pytest.raises(ConfigError, match=r"nothing reads 'init.item_blocks'.*\(got mode=id\)"):
        config(folder, item_blocks=blocks, mode="id")
    with pytest.raises(ConfigError, match=r"nothing reads 'init.user_blocks'.*\(got users=profile\)"):
        config(folder, user_blocks=blocks, users="profile")
    config(folder, item_blocks=blocks, mode="id", neighbours=3)


def test_a_combination_of_one_part_is_told(folder: Path) -> None:
    blocks = {"text": {"columns": ["text"]}}
    with pytest.raises(
        ConfigError, match=r"'init.combine' has no say where a node has one part .*\(got gate\)"
    ):
        config(folder, item_blocks=blocks, mode="text", combine="gate")
    config(folder, item_blocks=item_blocks(folder), mode="text", combine="gate")
    config(folder, item_blocks=blocks, mode="id_text", combine="gate")


@pytest.mark.parametrize("key", ["item_vectors", "item_profiles"])
def test_blocks_and_a_file_for_one_side_are_told(folder: Path, key: str) -> None:
    values = config(folder, item_blocks={"text": {"columns": ["text"]}}).to_dict()
    values["text"][key] = "vectors.npy"
    with pytest.raises(ConfigError, match=f"'init.item_blocks' stands in place of 'text.{key}'"):
        RunConfig.from_dict(values)


def test_blocks_with_a_baseline_are_told(folder: Path) -> None:
    values = config(folder, item_blocks={"text": {"columns": ["text"]}}).to_dict()
    values["model"] = {"name": "content kNN", "baseline": {"_target_": "gnnrec.baselines.ContentKNN"}}
    with pytest.raises(ConfigError, match=r"a baseline reads one 'text', not 'init.item_blocks'"):
        RunConfig.from_dict(values)


def test_a_text_baseline_beside_a_model_takes_the_blocks_side_by_side(folder: Path) -> None:
    values = config(folder, item_blocks=item_blocks(folder)).to_dict()
    values["model"]["fusion"] = {
        "parts": {"content": {"_target_": "gnnrec.baselines.ContentKNN", "k": 5}},
        "weights": {"graph": 0.0, "content": 1.0},
    }
    assert run(RunConfig.from_dict(values)).metrics["test/cold_only/recall@5"] > 0.4


def test_the_example_of_the_documentation_is_read(folder: Path) -> None:
    text = (Path(__file__).parents[2] / "docs/text.md").read_text(encoding="utf-8")
    example = yaml.safe_load(
        textwrap.dedent(text[text.index("    defaults: [id, _self_]\n") : text.index("On a command line")])
    )
    assert example.pop("defaults") == ["id", "_self_"]
    read = config(folder, **example)
    assert list(read.init.item_blocks) == ["title", "about", "genres", "cover"]
    assert RunConfig.from_dict(read.to_dict()) == read
    [words] = re.findall(r"On a command line: `(.*?)`", text)
    composed = RunConfig.from_dict(compose_config(shlex.split(words)))
    assert composed.init.neighbours == 0
    assert composed.init.item_blocks["tags"].kind == "bag"


@pytest.mark.parametrize(
    ("blocks", "told"),
    [
        ({"a": {"colums": ["text"]}}, "unknown key 'init.item_blocks.a.colums', did you mean 'columns'"),
        ({"a": {"columns": "text"}}, "'init.item_blocks.a.columns' must be of type"),
        ({"a": 3}, "'init.item_blocks.a' must be a mapping of keys"),
        ([1], "'init.item_blocks' must be of type"),
        ({"a": {"kind": "text"}}, "'columns' must name the columns"),
    ],
)
def test_a_mistake_in_a_block_is_one_line(folder: Path, blocks: Any, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        config(folder, item_blocks=blocks)
