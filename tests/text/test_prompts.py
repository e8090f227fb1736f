"""Prompts, pooling and dense layers as a model's folder says, and what is left of a text beside a prompt."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from gnnrec.errors import ConfigError
from gnnrec.text import encode_texts
from tests.text.encoding import TEXTS, config_of


def test_prompts_pooling_and_dense_layers_of_the_model_are_honoured(
    tiny_models: dict[str, Path], tmp_path: Path
):
    from safetensors.torch import save_file

    folder = tmp_path / "model"
    shutil.copytree(tiny_models["bert"], folder)
    modules = [
        {"path": "", "type": "sentence_transformers.models.Transformer"},
        {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
        {"path": "2_Dense", "type": "sentence_transformers.models.Dense"},
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    for name in ("1_Pooling", "2_Dense"):
        (folder / name).mkdir()
    (folder / "1_Pooling/config.json").write_text(
        json.dumps({"word_embedding_dimension": 32, "pooling_mode_cls_token": True, "include_prompt": True})
    )
    (folder / "2_Dense/config.json").write_text(
        json.dumps({"activation_function": "torch.nn.modules.activation.Tanh"})
    )
    weight = torch.randn(6, 32, generator=torch.Generator().manual_seed(1))
    save_file({"linear.weight": weight, "linear.bias": torch.ones(6)}, folder / "2_Dense/model.safetensors")
    prompts = {"prompts": {"query": "the files "}, "default_prompt_name": "query"}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(prompts))

    plain = config_of(tiny_models["bert"], pooling="cls", normalize=False)
    with_prompt = encode_texts(["the files " + text for text in TEXTS], plain, tmp_path / "c")
    expected = np.tanh(with_prompt @ weight.numpy().T + 1)
    own = config_of(folder, normalize=False)
    np.testing.assert_allclose(encode_texts(TEXTS, own, tmp_path / "c"), expected, atol=1e-5)
    named = encode_texts(TEXTS, replace(own, prompt="query"), tmp_path / "c")
    np.testing.assert_allclose(named, expected, atol=1e-5)
    bare = encode_texts(TEXTS, replace(own, prompt="", pooling="cls"), tmp_path / "c")
    np.testing.assert_allclose(bare, encode_texts(TEXTS, plain, tmp_path / "c"), atol=1e-6)


@pytest.mark.parametrize("prompt", ["the red ", "THE RED "])
def test_a_prompt_can_be_left_out_of_pooling(prompt: str, tiny_models: dict[str, Path], tmp_path: Path):
    folder = tmp_path / "model"
    shutil.copytree(tiny_models["bert"], folder)
    modules = [{"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    settings = {"pooling_mode_mean_tokens": True, "include_prompt": False}
    (folder / "1_Pooling/config.json").write_text(json.dumps(settings))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"do_lower_case": True}))
    vectors = encode_texts(["ink"], config_of(folder, prompt=prompt, normalize=False), tmp_path / "c")
    tokens = AutoTokenizer.from_pretrained(folder)("the red ink", return_tensors="pt")
    with torch.inference_mode():
        states = AutoModel.from_pretrained(folder)(tokens["input_ids"]).last_hidden_state[0]
    # [CLS] the red ink [SEP]: the first three are the prompt's.
    np.testing.assert_allclose(vectors[0], states[3:].mean(0).numpy(), atol=1e-6)


def test_unknown_modules_and_poolings_are_errors(tiny_models: dict[str, Path], tmp_path: Path):
    folder = tmp_path / "model"
    shutil.copytree(tiny_models["bert"], folder)
    modules = [{"path": "1_Pooling", "type": "x.Pooling"}, {"path": "2", "type": "x.WordWeights"}]
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ConfigError, match="module WordWeights"):
        encode_texts(TEXTS, config_of(folder), tmp_path)
    (folder / "modules.json").write_text(json.dumps(modules[:1]))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling/config.json").write_text(json.dumps({"pooling_mode_max_tokens": True}))
    with pytest.raises(ConfigError, match=r"pooling_mode_max_tokens.*set text\.pooling"):
        encode_texts(TEXTS, config_of(folder), tmp_path)
    assert len(encode_texts(TEXTS, config_of(folder, pooling="mean"), tmp_path)) == len(TEXTS)


@pytest.mark.parametrize("family", ["bert", "qwen3"])
def test_a_prompt_that_leaves_no_room_for_a_text_is_told(
    family: str, tiny_models: dict[str, Path], tmp_path: Path
):
    """All texts would get one vector, and a run would end with numbers."""
    config = config_of(tiny_models[family], prompt="red ink printer " * 4, max_length=8)
    with pytest.raises(ConfigError, match=r"'max_length' must be above the 1\d tokens .* \(got 8\)"):
        encode_texts(TEXTS, config, tmp_path)
