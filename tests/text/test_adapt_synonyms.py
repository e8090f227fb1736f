from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from gnnrec.errors import ConfigError, DataError
from gnnrec.text import TextConfig, encode_texts
from gnnrec.text.adapt import adapt_model
from tests.text.adapting import SPLIT, TEXTS, TRAIN, card_of, quick


def test_synonyms_come_from_a_masked_language_model(tiny_models: dict[str, Path], tmp_path: Path):
    bert = str(tiny_models["bert"])
    config = quick(tiny_models["bert"], objective="texts", steps=2, synonyms=0.5)
    with pytest.raises(ConfigError, match="needs 'synonym_model'"):
        adapt_model(TEXTS, tmp_path / "out", config)
    folder = adapt_model(TEXTS, tmp_path / "out", replace(config, synonym_model=bert))
    assert card_of(folder)["split"] is None
    encode_texts(TEXTS, TextConfig(model=str(folder)), tmp_path / "cache", split="anything")


def test_the_synonym_model_must_not_know_another_split_and_decides_the_result(
    tiny_models: dict[str, Path], tmp_path: Path
):
    words = Path(shutil.copytree(tiny_models["bert"], tmp_path / "words"))
    config = quick(tiny_models["bert"], objective="texts", steps=2, synonyms=0.5, synonym_model=str(words))
    (words / "gnnrec.json").write_text(json.dumps({"split": "6" * 64}))
    with pytest.raises(DataError, match="adapted on the train part of split 666"):
        adapt_model(TEXTS, tmp_path / "out", config, TRAIN, SPLIT)
    (words / "gnnrec.json").write_text(json.dumps({"split": SPLIT}))
    adapt_model(TEXTS, tmp_path / "out", config, TRAIN, SPLIT)
    shard = sorted(words.glob("*.safetensors"))[0]
    save_file({name: value + 1 for name, value in load_file(shard).items()}, shard, {"format": "pt"})
    with pytest.raises(ConfigError, match="is there already and is another model"):
        adapt_model(TEXTS, tmp_path / "out", config, TRAIN, SPLIT)


def test_the_synonym_model_must_have_the_same_tokens(tiny_models: dict[str, Path], tmp_path: Path):
    words = Path(shutil.copytree(tiny_models["bert"], tmp_path / "words"))
    tokenizer = (words / "tokenizer.json").read_text()
    (words / "tokenizer.json").write_text(tokenizer.replace('"library"', '"libraries"'))
    config = quick(tiny_models["bert"], objective="texts", steps=2, synonyms=0.5, synonym_model=str(words))
    with pytest.raises(
        ConfigError, match=r"'synonym_model' in 'adapt' must have the tokens of .*\(got '.*words'"
    ):
        adapt_model(TEXTS, tmp_path / "out", config, TRAIN, SPLIT)
