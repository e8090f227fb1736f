"""The configuration: strict about keys and types, the same after a round trip, and what its key depends on."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gnnrec.config import RunConfig
from gnnrec.errors import ConfigError

LIGHTGCN: dict[str, Any] = {
    "name": "lightgcn",
    "encoder": {"_target_": "gnnrec.encoders.LightGCN", "num_layers": 2},
    "objective": {
        "rank": {"weight": 1.0, "term": {"_target_": "gnnrec.objectives.BPR"}},
        "ssl": {
            "weight": 0.1,
            "term": {
                "_target_": "gnnrec.objectives.Contrast",
                "first": [
                    {"_target_": "gnnrec.views.EdgeDropout", "p": 0.2},
                    {"_target_": "gnnrec.views.FeatureMasking"},
                ],
            },
        },
    },
    "augmentations": [{"_target_": "gnnrec.views.NodeDropout", "side": "items"}],
}
POPULARITY: dict[str, Any] = {"name": "popularity", "baseline": {"_target_": "gnnrec.baselines.Popularity"}}


def make(path: str = "", value: Any = None, model: dict[str, Any] | None = None) -> RunConfig:
    """The configuration of `model` (LightGCN by default) with one value changed, given by its dotted path."""
    values: dict[str, Any] = {"model": json.loads(json.dumps(model or LIGHTGCN))}
    if path:
        *folders, name = path.split(".")
        node = values
        for folder in folders:
            node = node.setdefault(folder, {})
        node[name] = value
    return RunConfig.from_dict(values)


def test_defaults_are_filled_in_and_values_taken() -> None:
    config = make("train.lr", 0.5)
    assert (config.train.lr, config.train.epochs, config.init.mode) == (0.5, 100, "id")
    assert config.model.score == "dot"
    assert config.model.augmentations == tuple(LIGHTGCN["augmentations"])
    assert RunConfig.from_dict({}).model.baseline == POPULARITY["baseline"]


@pytest.mark.parametrize("model", [LIGHTGCN, POPULARITY])
def test_a_round_trip_gives_an_equal_configuration(model: dict[str, Any]) -> None:
    config = make("eval.ks", [5, 7], model=model)
    values = config.to_dict()
    assert RunConfig.from_dict(values) == config
    assert RunConfig.from_dict(json.loads(json.dumps(values))) == config  # plain enough for JSON and YAML
    assert values["eval"]["ks"] == [5, 7]
    assert RunConfig.from_dict(values).key("data") == config.key("data")


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ("trian", {}, "unknown key 'trian', did you mean 'train'?"),
        ("train.epoch", 3, "unknown key 'train.epoch', did you mean 'epochs'?"),
        ("model.objectiv", {}, "unknown key 'model.objectiv', did you mean 'objective'?"),
        ("seed", "0", r"'seed' must be of type int \(got '0'\)"),
        ("seed", 1.0, r"'seed' must be of type int \(got 1.0\)"),
        ("seed", True, r"'seed' must be of type int \(got True\)"),
        ("seed", -1, r"'seed' must be in \[0, inf\) in 'run' \(got -1\)"),
        ("seed", None, r"'seed' must be of type int \(got None\)"),
        ("train.lr", "1e-3", r"'train.lr' must be of type float \(got '1e-3'\)"),
        ("train.lr", True, "'train.lr' must be of type float"),
        ("eval.refit", 1, r"'eval.refit' must be of type bool \(got 1\)"),
        ("eval.ks", 10, "'eval.ks' must be of type"),
        ("eval.ks", [10, "20"], r"'eval.ks\[\]' must be of type int \(got '20'\)"),
        ("eval.head", "big", r"'eval.head' must be of type float \(got 'big'\)"),
        ("text.pooling", 3, r"'text.pooling' must be of type str \(got 3\)"),
        ("train", 3, r"'train' must be a mapping of keys \(got 3\)"),
        ("split.params", [1], "'split.params' must be of type"),
        ("protocol", "honset", "did you mean 'honest'"),
        ("train.epochs", 0, r"'epochs' must be in \[1, inf\) in 'train' \(got 0\)"),
        ("train.checkpoint_seconds", float("nan"), r"'checkpoint_seconds' must be in \[0, inf\) in 'train'"),
        ("train.checkpoint_seconds", float("inf"), "'checkpoint_seconds' must be in"),
        ("train.checkpoint_seconds", -5, "'checkpoint_seconds' must be in"),
        ("train.select", "ndcg", "'train.select' must be metric@k"),
        ("train.select", "ndcg@0", "'train.select' must be metric@k"),
        ("train.select", "ndcg@020", "'train.select' must be metric@k"),
        ("train.select", "ndcg@20000", r"'select' must be in \[1, 10000\] in 'train' \(got 20000\)"),
        ("train.select", "ndgc@10", "unknown metric 'ndgc' in 'train.select', did you mean 'ndcg'"),
        ("eval.metrics", ["recal"], "unknown metric 'recal' in 'eval', did you mean 'recall'"),
        ("eval.ks", [], "'ks' must have at least one cutoff"),
        ("eval.ks", [0], "'ks' must be in"),
        ("eval.ks", [10**18], "'ks' must be in"),
        ("eval.metrics", [], "'metrics' must have at least one metric in 'eval'"),
        ("split.seed", -1, r"'seed' must be in \[0, inf\) in 'split' \(got -1\)"),
        ("eval.seed", -1, r"'seed' must be in \[0, inf\) in 'eval' \(got -1\)"),
        ("eval.num_user_groups", 0, "'num_user_groups' must be in"),
        ("init.mode", "txt", "did you mean 'text'"),
        ("text.model", 3, "'text.model' must be of type str"),
        ("tracking.mode", "on", "did you mean 'online'"),
        ("model.objective.rank", {"weight": 1.0}, "must have the keys 'term' and 'weight'"),
        ("model.objective.rank", 3, "must have the keys 'term' and 'weight'"),
        ("model.objective.rank.weigth", 1.0, "must have the keys 'term' and 'weight'"),
        ("model.objective.rank.weight", -1, r"'weight' must be in \[0, inf\) in 'model.objective.rank'"),
        ("model.objective.rank.weight", "big", "'weight' must be in"),
        ("model.objective", {}, "at least one term"),
        ("model.baseline", POPULARITY["baseline"], "exactly one of 'baseline' and 'encoder'"),
        ("model.encoder", None, "exactly one of 'baseline' and 'encoder'"),
        ("model.encoder._target_", "gnnrec.encoders.LightGNC", "did you mean 'LightGCN'"),
        ("model.encoder._target_", "gnnrec.encodes.LightGCN", "whose module cannot be imported"),
        ("model.encoder._target_", "LightGCN", r"must be package\.module\.Class \(got 'LightGCN'\)"),
        ("model.encoder._target_", ".mine.LightGCN", r"must be package\.module\.Class"),
        ("model.encoder._target_", "torch.add", "must name a class or function of Python"),
        ("model.encoder.layers", 3, "unknown key 'model.encoder.layers', did you mean 'num_layers'?"),
        ("model.encoder.num_layers", -1, "'num_layers' must be in"),
        ("model.encoder.num_layers", 1.5, r"'model.encoder.num_layers' must be of type int \(got 1.5\)"),
        (
            "model.encoder.layer_weights",
            1.5,
            r"'model.encoder.layer_weights' must be of type list \(got 1.5\)",
        ),
        (
            "model.encoder.layer_weights",
            [0, 1, "a"],
            r"'model.encoder.layer_weights\[\]' must be of type float",
        ),
        (
            "model.objective.ssl.term.first",
            "EdgeDropout",
            r"'model.objective.ssl.term.first' must be of type list",
        ),
        ("model.objective.ssl.term.first", [3], r"first\[\]' must be of type {_target_: ...} \(got 3\)"),
        (
            "model.objective.ssl.term.max_nodes",
            1.5,
            "'model.objective.ssl.term.max_nodes' must be of type int",
        ),
        (
            "model.objective.ssl.term.intra_view",
            1,
            "'model.objective.ssl.term.intra_view' must be of type bool",
        ),
        (
            "model.augmentations",
            [{"_target_": "gnnrec.views.EdgeDropout", "p": "x"}],
            r"\[0\].p' must be of type float",
        ),
        ("model.objective.ssl.term.temprature", 1, "did you mean 'temperature'"),
        ("model.augmentations", [{"p": 0.1}], r"'model.augmentations\[0\]' must be a mapping with the key"),
        ("model.augmentations", ["EdgeDropout"], "must be a mapping with the key '_target_'"),
    ],
)
def test_a_mistake_is_one_line_that_names_it(path: str, value: Any, told: str) -> None:
    with pytest.raises(ConfigError, match=told) as caught:
        make(path, value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", ["objective", "augmentations"])
def test_a_baseline_is_not_given_what_it_does_not_read(key: str) -> None:
    with pytest.raises(ConfigError, match=f"'model.{key}' is read by a model with an encoder"):
        make(f"model.{key}", LIGHTGCN[key], POPULARITY)


def test_refit_needs_a_validation_part() -> None:
    values = {"protocol": "legacy_test_selected", "eval": {"refit": True}}
    with pytest.raises(ConfigError, match=r"'eval\.refit' needs protocol=honest"):
        RunConfig.from_dict(values)


def test_an_integer_will_do_for_a_float() -> None:
    config = make("train.lr", 1)
    assert isinstance(config.train.lr, float)
    assert config.key("x") == make("train.lr", 1.0).key("x")


CHANGES = [
    ("seed", 1),
    ("protocol", "legacy_test_selected"),
    ("dataset.name", "other"),
    ("split.name", "cold_item"),
    ("split.seed", 1),
    ("split.params", {"ratios": [0.6, 0.2, 0.2]}),
    ("init.dim", 32),
    ("init.mode", "text"),
    ("train.lr", 0.1),
    ("train.epochs", 7),
    ("train.batch_size", 7),
    ("train.select", "recall@10"),
    ("eval.ks", [5]),
    ("eval.refit", True),
    ("eval.seed", 3),
    ("model.score", "cosine"),
    ("model.encoder.num_layers", 3),
    ("model.objective.ssl.weight", 0.2),
    ("model.objective.ssl.term.temperature", 0.3),
    ("model.augmentations", []),
]


def test_the_key_changes_with_everything_that_decides_the_numbers() -> None:
    keys = [make().key("data"), make().key("other data"), *(make(p, v).key("data") for p, v in CHANGES)]
    assert len(set(keys)) == len(keys)
    assert all(len(key) == 16 and set(key) <= set("0123456789abcdef") for key in keys)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("device", "auto"),
        ("tracking.root", "/elsewhere"),
        ("tracking.mode", "disabled"),
        ("tracking.tags", ["a"]),
        ("tracking.project", "other"),
        ("text.device", "cuda"),
        ("text.batch_tokens", 9999),
        ("train.checkpoint_seconds", 0.0),
    ],
)
def test_the_key_does_not_change_with_where_a_run_is_made(path: str, value: Any) -> None:
    for mode in ("id", "text"):
        config = make("init.mode", mode)
        values = config.to_dict()
        folder, _, name = path.rpartition(".")
        (values[folder] if folder else values)[name] = value
        assert RunConfig.from_dict(values) != config
        assert RunConfig.from_dict(values).key("data") == config.key("data")


def test_the_key_leaves_out_what_the_model_does_not_use() -> None:
    assert make("text.model", "hash").key("x") == make().key("x")  # an id model reads no text
    text = make("init.mode", "text")
    hashed = replace(text, text=replace(text.text, model="hash"))
    assert hashed.key("x") != text.key("x")
    for path, value in (("train.lr", 0.1), ("init.dim", 8), ("text.model", "hash"), ("seed", 5)):
        assert make(path, value, POPULARITY).key("x") == make(model=POPULARITY).key("x")
    reader = {**POPULARITY, "needs_text": True}
    assert make("text.model", "hash", reader).key("x") != make(model=reader).key("x")


def test_the_key_depends_on_what_a_file_of_vectors_holds_not_on_where_it_lies(tmp_path: Path) -> None:
    config = make("init.mode", "text")

    def key(path: Path) -> str:
        return replace(config, text=replace(config.text, item_vectors=str(path))).key("x")

    one, two = tmp_path / "one.npz", tmp_path / "two.npz"
    one.write_bytes(b"vectors")
    two.write_bytes(b"vectors")
    assert key(one) == key(two) != config.key("x")
    two.write_bytes(b"others")
    assert key(one) != key(two)
    before = key(one)
    (tmp_path / "one.npz.ids.json").write_text('["a", "b"]')
    assert key(one) not in (before, key(two))
    key(tmp_path / "missing.npz")  # told when it is loaded


def test_the_key_depends_on_a_language_models_files_not_on_where_they_lie(tmp_path: Path) -> None:
    def key(path: Path) -> str:
        config = make("init.mode", "text")
        return replace(config, text=replace(config.text, model=str(path))).key("x")

    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
        for name in ("config.json", "tokenizer.json", "model.safetensors"):
            (folder / name).write_text("{}")
    assert key(folders[0]) == key(folders[1])
    (folders[1] / "model.safetensors").write_text("other weights")
    assert key(folders[0]) != key(folders[1])
    key(tmp_path / "missing")  # told when it is loaded


def test_the_key_depends_on_the_templates_of_texts_where_texts_are_read() -> None:
    one, two = {"item": [["title", "title"]]}, {"item": [["", "title"]]}
    assert make().key("x", one) == make().key("x", two)
    text = make("init.mode", "text")
    assert text.key("x", one) != text.key("x", two)


def test_the_key_does_not_depend_on_the_order_of_keys() -> None:
    values = make().to_dict()
    turned = {name: values[name] for name in reversed(values)}
    assert RunConfig.from_dict(turned).key("x") == make().key("x")


@pytest.mark.parametrize(
    ("model", "mode", "users", "needs"),
    [
        (LIGHTGCN, "id", "id", (False, False)),
        (LIGHTGCN, "text", "id", (True, False)),
        (LIGHTGCN, "id", "text", (False, True)),
        (POPULARITY, "text", "text", (False, False)),
        ({**POPULARITY, "needs_text": True}, "id", "id", (True, False)),
    ],
)
def test_which_texts_are_needed(model: dict, mode: str, users: str, needs: tuple[bool, bool]) -> None:
    config = RunConfig.from_dict({"model": model, "init": {"mode": mode, "users": users}})
    assert config.needs_text() == needs


def test_mistakes_are_found_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """from_dict builds every part, so that a run does not fail after an hour of encoding texts."""
    built: list[Any] = []
    import gnnrec.config as module

    real: Callable[..., Any] = module.build
    monkeypatch.setattr(
        module, "build", lambda spec, where, **more: built.append(where) or real(spec, where, **more)
    )
    make()
    assert built[:4] == [
        "model.encoder",
        "model.augmentations[0]",
        "model.objective.rank.term",
        "model.objective.ssl.term",
    ]
