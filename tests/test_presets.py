"""Every YAML that is shipped composes, builds, and trains an epoch on planted data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from experiments.compose import CONF, compose_config
from gnnrec.config import RunConfig
from gnnrec.run import validate

OPTIONS = sorted(f"{path.parent.name}={path.stem}" for path in CONF.glob("*/*.yaml"))
TRAINED = [option for option in OPTIONS if option.partition("=")[0] in ("model", "init", "experiment")]
SMALL = [
    "text=hash",
    "tracking=disabled",
    "init.dim=16",
    "train.epochs=1",
    "eval.ks=[10]",
    "eval.metrics=[ndcg]",
]


def shrunk(tree: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration with the width of baselines at most 16: the planted matrix has no more than 60."""
    baseline = tree["model"].get("baseline") or {}
    fusion = tree["model"].get("fusion") or {}
    for part in (baseline, *baseline.get("parts", {}).values(), *fusion.get("parts", {}).values()):
        if "dim" in part:
            part["dim"] = min(part["dim"], 16)
    return tree


def test_there_are_presets() -> None:
    assert {"model=lightgcn", "model=simgcl", "init=text", "experiment=augmented"} <= set(TRAINED)


@pytest.mark.parametrize("option", TRAINED)
def test_a_preset_trains_an_epoch(option: str, planted_folder: Path) -> None:
    overrides = [option, "dataset=folder", f"dataset.name={planted_folder}", *SMALL]
    metrics = validate(RunConfig.from_dict(shrunk(compose_config(overrides))))
    assert 0 <= metrics["validation/ndcg@10"] <= 1


@pytest.mark.parametrize("experiment", ["augmented", "tail_aware", "text_edges"])
@pytest.mark.parametrize("model", ["lightgcn", "sgl-ed", "simgcl", "xsimgcl", "lightgcl", "graphsage-gca"])
def test_self_supervision_is_added_to_the_terms_of_a_preset(model: str, experiment: str) -> None:
    own = compose_config([f"model={model}"])["model"]["objective"]
    tree = compose_config([f"model={model}", f"experiment={experiment}"])
    RunConfig.from_dict(tree)
    assert tree["model"]["objective"] == {**own, "ssl": tree["model"]["objective"]["ssl"]}


@pytest.mark.parametrize("option", [option for option in OPTIONS if option not in TRAINED])
def test_an_option_of_the_other_groups_is_read(option: str) -> None:
    named = ["dataset.name=somewhere"] if option == "dataset=folder" else []
    RunConfig.from_dict(compose_config([option, *named]))


@pytest.mark.parametrize(("group", "base"), [("init", "id"), ("train", "default")])
def test_an_option_says_only_what_differs_from_the_one_it_builds_on(group: str, base: str) -> None:
    trees = {path.stem: yaml.safe_load(path.read_text()) for path in (CONF / group).glob("*.yaml")}
    usual = trees.pop(base)
    for name, tree in trees.items():
        assert tree.pop("defaults") == [base, "_self_"], name
        assert [key for key, value in tree.items() if usual[key] == value] == [], name


def test_alpharec_has_the_loss_of_its_authors() -> None:
    model = compose_config(["experiment=alpharec"])["model"]
    assert model["score"] == "cosine"
    assert model["objective"]["l2"]["weight"] == 0
    term = model["objective"]["rank"]["term"]
    wanted = {"negatives": "uniform", "num_negatives": 256, "temperature": 0.15}
    assert term == {
        "_target_": "gnnrec.objectives.Softmax",
        **wanted,
        "cosine": True,
        "correction": False,  # a positive has to beat the drawn negatives alone
    }
