"""experiments/adapt.py: from the command line to a model folder that a run takes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from experiments.adapt import adapt_config, main
from experiments.cli import run_main
from gnnrec.data.dataset import Dataset, load_dataset
from gnnrec.data.interactions import Interactions
from gnnrec.data.native import write_native
from gnnrec.data.splits import make_split
from gnnrec.errors import ConfigError
from gnnrec.text import TextConfig


def make_bert(folder: Path) -> Path:
    words = ["[PAD]", "[UNK]", "red", "ink", *(f"k{n}" for n in range(30))]
    tokenizer = Tokenizer(models.WordLevel({word: row for row, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]").save_pretrained(
        folder
    )
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    BertModel(BertConfig(vocab_size=len(words), **sizes, max_position_embeddings=32)).save_pretrained(folder)
    return folder


def make_data(folder: Path) -> Path:
    user = np.repeat(np.arange(20), 6)
    item = (user % 2) + 2 * ((user // 2 + np.tile(np.arange(6), 20)) % 15)
    items = pd.DataFrame({"item_id": np.arange(30), "text": [f"red ink k{n}" for n in range(30)]})
    users = pd.DataFrame({"user_id": np.arange(20)})
    write_native(Dataset("tiny", Interactions(user, item, 20, 30), users, items), folder)
    return folder


def test_the_command_writes_a_model_of_its_split(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    model, data = make_bert(tmp_path / "bert"), make_data(tmp_path / "data")
    words = [f"dataset.name={data}", "split=cold_items", f"text.model={model}"]
    words += ["adapt.steps=3", "adapt.lr=1e-3", "adapt.batch_size=8", "--output", str(tmp_path / "out")]
    assert run_main(main, words) == 0
    assert "held-out loss" in capsys.readouterr().out
    card = json.loads((tmp_path / "out/gnnrec.json").read_text())
    split = make_split(load_dataset(data), "cold_item", 0, cold=0.2)
    assert card["split"] == split.fingerprint
    assert card["config"]["lr"] == 1e-3
    assert run_main(main, words) == 0
    assert run_main(main, [*words, "adapt.lr=2e-3"]) == 2
    assert "is there already" in capsys.readouterr().err


def test_a_model_that_no_step_made_better_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    model, data = make_bert(tmp_path / "bert"), make_data(tmp_path / "data")
    words = [f"dataset.name={data}", "split=cold_items", f"text.model={model}", "adapt.steps=1"]
    assert (
        run_main(main, [*words, "adapt.lr=1e-30", "adapt.batch_size=8", "--output", str(tmp_path / "out")])
        == 0
    )
    printed = capsys.readouterr()
    assert "at step 0 of 1" in printed.out
    assert "warning: no step lowered the held-out loss, so this is the model as it was" in printed.err


def test_mistakes_are_one_line(capsys: pytest.CaptureFixture[str]):
    assert run_main(main, ["dataset=debian"]) == 2
    assert "--output FOLDER" in capsys.readouterr().err
    assert run_main(main, ["adapt.stesp=3", "--output", "x"]) == 2
    assert "did you mean 'steps'" in capsys.readouterr().err
    for word in (
        "seed=1",
        "device=cuda",
        "train.lr=1e-3",
        "init=id",
        "protocol=honest",
        "experiment=alpharec",
    ):
        assert run_main(main, [word, "--output", "x"]) == 2
        printed = capsys.readouterr().err
        assert f"'{word.partition('=')[0]}' has no say in adapting" in printed
        assert printed.count("\n") == 1
    assert run_main(main, ["--help"]) == 0
    assert "usage" in capsys.readouterr().out


def test_values_are_read_as_what_they_are():
    text = TextConfig(model="m", revision="abc")
    config = adapt_config(["adapt.lr=5e-5", "adapt.objective=mlm", "adapt.freeze_embeddings=false"], text)
    assert (config.model, config.revision, config.lr, config.objective) == ("m", "abc", 5e-5, "mlm")
    assert not config.freeze_embeddings
    with pytest.raises(ConfigError, match="must be KEY=VALUE"):
        adapt_config(["adapt.lr"], text)
    with pytest.raises(ConfigError, match=r"'adapt.model=n' would stand in place .*: say 'text.model=n'"):
        adapt_config(["adapt.model=n"], text)
    for word in ("adapt.lr=[1", "adapt.synonym_model={a", "adapt.objective=a: b: c", "adapt.seed=2026-02-31"):
        with pytest.raises(ConfigError, match="is not YAML"):
            adapt_config([word], text)
    with pytest.raises(ConfigError, match="'seed' must be in"):
        adapt_config(["adapt.seed=-1"], text)
    with pytest.raises(ConfigError, match="'lr' must be in"):
        adapt_config(["adapt.lr=-1"], text)
    with pytest.raises(ConfigError, match=r"'text.pooling' has no say in adapting.*leave it out"):
        adapt_config([], TextConfig(pooling="cls"))
    with pytest.raises(
        ConfigError, match=r"'text.max_length' has no say in adapting.*set 'adapt.max_length'"
    ):
        adapt_config([], TextConfig(max_length=32))


@pytest.mark.parametrize(
    "changes",
    [
        {"control": "anonymized"},
        {"reduce": "pca"},
        {"dim": 4},
        {"item_vectors": "x.npy"},
        {"user_profiles": "x"},
    ],
)
def test_a_key_of_text_that_would_be_passed_over_is_an_error(changes: dict[str, Any]):
    (name,) = changes
    with pytest.raises(ConfigError, match=rf"'text\.{name}' has no say in adapting.*leave it out"):
        adapt_config([], TextConfig(**changes))
    with pytest.raises(ConfigError, match=r"'text\.seed' has no say in adapting.*set 'adapt\.seed'"):
        adapt_config([], TextConfig(seed=1))
    adapt_config([], TextConfig(item_profiles="x.jsonl"))
