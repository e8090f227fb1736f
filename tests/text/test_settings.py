"""What the sentence-transformers files of a folder say, and what they may not say."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from gnnrec.errors import ConfigError, DataError
from gnnrec.text import TextConfig, encode_texts
from gnnrec.text.models import find_model
from gnnrec.text.settings import read_settings

TEXTS = ["the shared library", "ink", "a text editor for files"]
WEIGHT = torch.randn(6, 32, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def folder(tiny_models: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_models["bert"], tmp_path / "model"))


def write_modules(folder: Path, *kinds: str) -> None:
    modules = [
        {"path": f"{n}_{kind}" if n else "", "type": f"sentence_transformers.models.{kind}"}
        for n, kind in enumerate(["Transformer", *kinds])
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    for module in modules[1:]:
        (folder / module["path"]).mkdir()
        if module["type"].endswith("Dense"):
            (folder / module["path"] / "config.json").write_text("{}")
            save_file({"linear.weight": WEIGHT}, folder / module["path"] / "model.safetensors")


def test_modules_are_applied_in_the_order_of_the_file(
    folder: Path, tiny_models: dict[str, Path], tmp_path: Path
):
    write_modules(folder, "Pooling", "Normalize", "Dense", "Normalize")
    unit = encode_texts(TEXTS, TextConfig(model=str(tiny_models["bert"]), dtype="float32"), tmp_path / "c")
    # without a word on the activation it is tanh, as in sentence-transformers
    expected = np.tanh(unit @ WEIGHT.numpy().T)
    own = TextConfig(model=str(folder), dtype="float32", normalize=False)
    np.testing.assert_allclose(encode_texts(TEXTS, own, tmp_path / "c"), expected, atol=1e-5)
    assert read_settings(find_model(str(folder)), own).dense == ("/normalize", "3_Dense")


@pytest.mark.parametrize("width", [32, 6])
def test_a_residual_dense_adds_what_it_was_given(
    width: int, folder: Path, tiny_models: dict[str, Path], tmp_path: Path
):
    write_modules(folder, "Pooling", "Dense")
    weight, residual = torch.randn(2, width, 32, generator=torch.Generator().manual_seed(2))
    tensors = {"linear.weight": weight} | ({} if width == 32 else {"residual.weight": residual})
    save_file(tensors, folder / "2_Dense/model.safetensors")
    (folder / "2_Dense/config.json").write_text(json.dumps({"use_residual": True}))
    plain = TextConfig(model=str(tiny_models["bert"]), dtype="float32", normalize=False)
    pooled = encode_texts(TEXTS, plain, tmp_path / "c")
    added = pooled if width == 32 else pooled @ residual.numpy().T
    own = TextConfig(model=str(folder), dtype="float32", normalize=False)
    expected = np.tanh(pooled @ weight.numpy().T) + added
    np.testing.assert_allclose(encode_texts(TEXTS, own, tmp_path / "c"), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("weight", "bias", "told"),
    [
        ((6, 64), (6,), r"must take vectors of width 32 \(got weights for 64\): it belongs to another model"),
        (
            (6, 32),
            (5,),
            r"cannot be read: 'linear' must have a weight \[out, in\] .* got \[6, 32\] and bias \[5\]",
        ),
        ((32,), (6,), r"cannot be read: 'linear' must have .* got \[32\] and bias \[6\]"),
        ((), (6,), r"cannot be read: 'linear' must have .* got \[\] and bias \[6\]"),
    ],
)
def test_a_dense_layer_of_another_shape_is_one_clear_error(
    weight: tuple[int, ...], bias: tuple[int, ...], told: str, folder: Path, tmp_path: Path
):
    write_modules(folder, "Pooling", "Dense")
    tensors = {"linear.weight": torch.zeros(weight), "linear.bias": torch.zeros(bias)}
    save_file(tensors, folder / "2_Dense/model.safetensors")
    with pytest.raises(DataError, match=told):
        encode_texts(TEXTS, TextConfig(model=str(folder), dtype="float32"), tmp_path / "c")


def test_dense_layers_that_do_not_fit_each_other_are_one_clear_error(folder: Path, tmp_path: Path):
    write_modules(folder, "Pooling", "Dense", "Normalize", "Dense")
    with pytest.raises(
        DataError, match=r"'.*4_Dense' .* must take vectors of width 6 \(got weights for 32\)"
    ):
        encode_texts(TEXTS, TextConfig(model=str(folder), dtype="float32"), tmp_path / "c")
    (folder / "2_Dense/config.json").write_text('{"use_residual": true}')
    tensors = {"linear.weight": WEIGHT, "residual.weight": WEIGHT[:5].clone()}
    save_file(tensors, folder / "2_Dense/model.safetensors")
    with pytest.raises(DataError, match=r"'residual' must have a weight \[6, 32\] .* got \[5, 32\]"):
        encode_texts(TEXTS, TextConfig(model=str(folder), dtype="float32"), tmp_path / "c")


@pytest.mark.parametrize("path", ["modules/2_Dense", "../2_Dense", "..", "/2_Dense"])
def test_a_module_outside_of_the_identity_is_refused(path: str, folder: Path, tmp_path: Path):
    write_modules(folder, "Pooling", "Dense")
    (folder / "modules.json").write_text((folder / "modules.json").read_text().replace("2_Dense", path))
    with pytest.raises(DataError, match=rf"names the module '{path}', but only folders directly in '"):
        encode_texts(TEXTS, TextConfig(model=str(folder), dtype="float32"), tmp_path / "c")


def test_a_dense_layer_of_token_vectors_is_refused(folder: Path, tmp_path: Path):
    write_modules(folder, "Pooling", "Dense")
    (folder / "2_Dense/config.json").write_text(json.dumps({"module_input_name": "token_embeddings"}))
    with pytest.raises(ConfigError, match="dense layer of 'token_embeddings', not of the pooled vector"):
        encode_texts(TEXTS, TextConfig(model=str(folder)), tmp_path / "c")


def test_a_last_normalize_leaves_the_address_in_the_cache_as_it_is(folder: Path):
    write_modules(folder, "Pooling", "Dense", "Normalize")
    settings = read_settings(find_model(str(folder)), TextConfig(model=str(folder)))
    assert settings.as_dict() == {
        "pooling": "mean",
        "prompt": "",
        "pool_prompt": True,
        "dense": ("2_Dense",),
        "lower_case": False,
    }


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", [], "config.json' must hold a JSON object"),
        ("modules.json", {"a": 1}, "modules.json' must hold a JSON list"),
        ("modules.json", [{"type": "x.Pooling"}], "objects with 'type' and 'path'"),
        ("modules.json", ["x.Pooling"], "objects with 'type' and 'path'"),
        ("sentence_bert_config.json", None, "must hold a JSON object"),
        ("config_sentence_transformers.json", {"prompts": [1]}, "'prompts' in .* must be an object"),
        ("gnnrec.json", [], "must hold a JSON object"),
    ],
)
def test_files_of_another_kind_are_one_clear_error(name: str, content: object, message: str, folder: Path):
    (folder / name).write_text(json.dumps(content))
    with pytest.raises(DataError, match=message):
        encode_texts(TEXTS, TextConfig(model=str(folder), dtype="float32"), folder / "cache")


@pytest.mark.parametrize("device", ["nonsense", "cuda:99"])
def test_a_device_that_is_not_there_is_one_clear_error(
    device: str, tiny_models: dict[str, Path], tmp_path: Path
):
    config = TextConfig(model=str(tiny_models["bert"]), device=device)
    with pytest.raises(ConfigError, match=rf"text\.device={device} cannot be used"):
        encode_texts(TEXTS, config, tmp_path)
