from __future__ import annotations

import os
from pathlib import Path

import pytest

from experiments.compose import compose_config, config_groups, expand
from gnnrec.errors import ConfigError

FILES = {
    "run.yaml": "defaults:\n  - model: mf\n  - train: default\n  - _self_\n  - experiment: null\nseed: 0\n",
    "model/mf.yaml": "# factors, no graph\nname: mf\ndim: 64\n",
    "model/lightgcn.yaml": "# graph convolution\nname: lightgcn\ndim: 64\nencoder: {layers: 3}\n",
    "train/default.yaml": "lr: 1e-3\nks: [10, 20]\n",
    "train/folder.yaml": "path: ???\n",
    "experiment/fast.yaml": "# @package _global_\ndefaults:\n  - override /model: lightgcn\nseed: 7\n",
    "experiment/broken.yaml": "# @package _global_\nseed: ${nothing}\n",
}


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / "conf" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "conf" / name).write_text(text)
    return tmp_path / "conf"


def test_options_and_values_are_composed(conf: Path) -> None:
    config = compose_config(
        ["model=lightgcn", "train.lr=0.5", "model.encoder.layers=2", "train.ks=[5]"], conf
    )
    assert config == {
        "model": {"name": "lightgcn", "dim": 64, "encoder": {"layers": 2}},
        "train": {"lr": 0.5, "ks": [5]},
        "seed": 0,
    }
    assert compose_config([], conf)["train"]["lr"] == 1e-3


def test_an_experiment_overrides_and_can_be_overridden(conf: Path) -> None:
    assert compose_config(["experiment=fast"], conf)["seed"] == 7
    config = compose_config(["experiment=fast", "seed=1"], conf)
    assert (config["model"]["name"], config["seed"]) == ("lightgcn", 1)


def test_values_may_be_lists_mappings_null_and_references(conf: Path) -> None:
    words = ["model=lightgcn", "model.encoder={layers: 1}", "train.lr=null", "train.ks=[1,2]"]
    config = compose_config(words, conf)
    assert config["model"]["encoder"] == {"layers": 1}
    assert config["train"] == {"lr": None, "ks": [1, 2]}
    assert compose_config(["seed=3", "train.lr=${seed}"], conf)["train"]["lr"] == 3


def test_one_call_leaves_no_trace_in_the_next(conf: Path) -> None:
    compose_config(["train.ks=[1]", "+model.p=1"], conf)
    assert compose_config([], conf)["train"]["ks"] == [10, 20]
    assert "p" not in compose_config([], conf)["model"]


def test_plus_adds_a_key(conf: Path) -> None:
    assert compose_config(["+model.p=0.5"], conf)["model"]["p"] == 0.5


@pytest.mark.parametrize(
    ("override", "told"),
    [
        (
            "model=lightgnc",
            "unknown option 'lightgnc' for 'model', did you mean 'lightgcn'? (known: lightgcn, mf)",
        ),
        ("modle=mf", "unknown key 'modle', did you mean 'model'?"),
        ("train.lrr=1", "unknown key 'train.lrr', did you mean 'train.lr'? (known: train.ks, train.lr)"),
        ("trian.lr=1", "unknown key 'trian', did you mean 'train'?"),
        ("model.dim.x=1", "unknown key 'model.dim.x': 'model.dim' has no keys below it"),
        ("seed", "cannot read 'seed': write key=value"),
        ("seed=[1", "cannot read 'seed=[1'"),
        ("seed=0,1", "'seed=0,1' gives several values: add -m"),
        ("model=mf,lightgcn", "gives several values: add -m"),
        ("train=folder", "'train.path' has no value: give train.path=VALUE"),
        ("experiment=broken", "nothing"),
        ("~train.lr", "'~train.lr' cannot delete a key: give it a value, for example null"),
        ("~model.objective.l2", "cannot delete a key: model.objective.l2.weight=0 leaves that term out"),
        (
            "model=null",
            "'model=null' chooses no option: write model=NAME, or nothing for the usual one (known: lightgcn, mf)",
        ),
        ("experiment=null", "'experiment=null' chooses no option: write experiment=NAME"),
        ("train=", "'train=' chooses no option: write train=NAME"),
        ("model=[]", "'model=[]' chooses no option"),
        ("~model", "'~model' chooses no option"),
        (
            "model=[lightgcn,mf]",
            "'model' takes one option (got ['lightgcn', 'mf']): with -m, model=A,B runs each",
        ),
    ],
)
def test_a_mistake_is_one_line_that_names_it(conf: Path, override: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compose_config([override], conf)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("override", "told"),
    [
        (
            "split=leave_k_out",
            "; split.name=leave_k_out chooses that split, +split.params.OPTION=VALUE its options",
        ),
        (
            "split.params.ratios=[6,2,2]",
            "'split.params' has no keys below it; +split.params.ratios=VALUE adds one",
        ),
    ],
)
def test_how_to_choose_another_split_is_told(override: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compose_config([override])
    assert told in str(caught.value)


def test_how_to_add_an_argument_that_a_class_has_is_told() -> None:
    with pytest.raises(ConfigError) as caught:
        compose_config(["model=popularity", "model.baseline.power=1"])
    assert "unknown key 'model.baseline.power'" in str(caught.value)
    assert str(caught.value).endswith("; +model.baseline.power=VALUE adds one")
    with pytest.raises(ConfigError, match=r"unknown key 'model\.power'.*\)$"):
        compose_config(["model=popularity", "model.power=1"])


def test_a_class_in_braces_takes_the_place_of_the_other_with_its_arguments() -> None:
    term = "{_target_: gnnrec.objectives.SimpleX, margin: 0.5}"
    softmax = compose_config(["model=lightgcn-softmax"])["model"]["objective"]["rank"]
    assert "temperature" in softmax["term"]
    config = compose_config(["model=lightgcn-softmax", f"model.objective.rank.term={term}"])
    assert config["model"]["objective"]["rank"] == {
        **softmax,
        "term": {"_target_": "gnnrec.objectives.SimpleX", "margin": 0.5},
    }
    for start in ("", "+"):
        config = compose_config(
            ["model=lightgcn-softmax", f"{start}model.objective={{rank: {{weight: 2.0}}}}"]
        )
        assert config["model"]["objective"]["rank"] == {**softmax, "weight": 2.0}
    config = compose_config(["model=lightgcn-softmax", f"model.objective.rank={{weight: 2.0, term: {term}}}"])
    assert config["model"]["objective"]["rank"]["term"] == {
        "_target_": "gnnrec.objectives.SimpleX",
        "margin": 0.5,
    }
    with pytest.raises(ConfigError, match=r"unknown key 'model\.objective\.rank\.wieght', did you mean"):
        compose_config(["model=lightgcn-softmax", "model.objective.rank={wieght: 2.0}"])


def test_a_class_in_a_yaml_takes_the_place_of_the_other_with_its_arguments(conf: Path) -> None:
    (conf / "model/base.yaml").write_text(
        "encoder: {_target_: a.Graph, layers: 3, noise: 0.1}\n"
        "objective: {rank: {weight: 1.0, term: {_target_: a.Soft, inner: {_target_: a.One, p: 1}, t: 1}}}\n"
    )
    (conf / "model/mine.yaml").write_text(
        "defaults: [base]\nname: mine\nencoder: {_target_: b.Walks, hops: 2, noise: 0.2}\n"
        "objective: {rank: {term: {inner: {_target_: a.Two}}}}\n"
    )
    (conf / "model/same.yaml").write_text("defaults: [base]\nencoder: {_target_: a.Graph, layers: 1}\n")
    (conf / "model/twice.yaml").write_text("defaults: [mine]\nencoder: {_target_: a.Graph}\n")
    (conf / "experiment/other.yaml").write_text(
        "# @package _global_\nmodel: {objective: {rank: {term: {_target_: a.Hinge}}}}\n"
    )
    mine = compose_config(["model=mine"], conf)["model"]
    assert mine["encoder"] == {"_target_": "b.Walks", "hops": 2, "noise": 0.2}
    term = {"_target_": "a.Soft", "inner": {"_target_": "a.Two"}, "t": 1}
    assert mine["objective"]["rank"] == {"weight": 1.0, "term": term}
    same = compose_config(["model=same"], conf)["model"]["encoder"]
    assert same == {"_target_": "a.Graph", "layers": 1, "noise": 0.1}
    assert compose_config(["model=twice"], conf)["model"]["encoder"] == {"_target_": "a.Graph"}
    other = compose_config(["model=mine", "experiment=[other]"], conf)["model"]
    assert other["objective"]["rank"] == {"weight": 1.0, "term": {"_target_": "a.Hinge"}}
    (conf / "model/none.yaml").write_text("defaults: [mine]\nencoder: null\n")
    assert compose_config(["model=none"], conf)["model"]["encoder"] is None


def test_a_yaml_that_cannot_be_read_and_a_default_that_is_not_there_are_one_line(conf: Path) -> None:
    (conf / "model/bad.yaml").write_text("name: bad\n encoder: {layers: 1}\n")
    with pytest.raises(ConfigError, match=r"^cannot read a YAML of the configuration: .*bad\.yaml.*line 2"):
        compose_config(["model=bad"], conf)
    (conf / "model/odd.yaml").write_text("defaults: [lightgnc]\n")
    with pytest.raises(
        ConfigError,
        match=r"^In 'model/odd': Could not load 'model/lightgnc', .*did you mean 'lightgcn'\?.*mf",
    ):
        compose_config(["model=odd"], conf)


def test_how_to_add_a_term_is_told() -> None:
    with pytest.raises(
        ConfigError, match=r"unknown key 'model\.objective\.mine'.*; \+model\.objective\.mine=VALUE adds"
    ):
        compose_config(["model=lightgcn", "model.objective.mine={weight: 0.1}"])


def test_empty_braces_leave_nothing() -> None:
    assert compose_config(["split=cold_items"])["split"]["params"]
    assert compose_config(["split=cold_items", "split.params={}"])["split"]["params"] == {}
    assert compose_config(["model=mf", "model.objective={}"])["model"]["objective"] == {}
    with pytest.raises(ConfigError, match=r"unknown key 'split\.parms'"):
        compose_config(["split.parms={}"])


def test_what_holds_nothing_takes_all_that_is_in_braces() -> None:
    parts = "{parts: {ease: {_target_: gnnrec.baselines.EASE}}, weights: {ease: 1.0}}"
    config = compose_config(["model=lightgcn", f"+model.fusion={parts}"])
    assert config["model"]["fusion"]["weights"] == {"ease": 1.0}


def test_a_key_of_an_option_chosen_in_the_same_line_is_known(conf: Path) -> None:
    with pytest.raises(ConfigError, match="unknown key"):
        compose_config(["model.encoder.layers=1"], conf)
    assert (
        compose_config(["model.encoder.layers=1", "model=lightgcn"], conf)["model"]["encoder"]["layers"] == 1
    )


def test_expand_is_the_product_in_the_order_given() -> None:
    assert expand(["model=a,b", "train.lr=1e-3", "seed=range(2)"]) == [
        ["model=a", "train.lr=1e-3", "seed=0"],
        ["model=a", "train.lr=1e-3", "seed=1"],
        ["model=b", "train.lr=1e-3", "seed=0"],
        ["model=b", "train.lr=1e-3", "seed=1"],
    ]
    assert expand([]) == [[]]
    assert expand(["ks=[1,2]", "name='a,b'"]) == [["ks=[1,2]", "name='a,b'"]]
    with pytest.raises(ConfigError, match="no list of values"):
        expand(["lr=interval(0,1)"])


def test_groups_are_told_with_their_first_comment(conf: Path) -> None:
    assert config_groups(conf)["model"] == {"lightgcn": "graph convolution", "mf": "factors, no graph"}


def test_nothing_is_written_beside(conf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    monkeypatch.chdir(folder)
    compose_config(["model=lightgcn"], conf)
    assert os.listdir(folder) == []
