from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    AutoTokenizer,
    GPT2Config,
    GPT2Model,
    GPTNeoXConfig,
    GPTNeoXModel,
    T5Config,
    T5EncoderModel,
)

from gnnrec.data.interactions import Interactions
from gnnrec.errors import ConfigError, DataError
from gnnrec.text import TextConfig, encode_texts
from gnnrec.text.adapt import adapt_model
from gnnrec.text.adapt_config import AdaptConfig, learning_rate
from gnnrec.text.adapt_objectives import text_losses
from tests.text.adapting import LORA, SPLIT, TEXTS, TRAIN, card_of, quick, weights_of
from tests.text.conftest import make_tokenizer


@pytest.mark.parametrize("objective", ["mlm", "texts", "pairs"])
def test_each_objective_lowers_the_held_out_loss_and_gives_a_model_folder(
    objective: str, tiny_models: dict[str, Path], tmp_path: Path
):
    config = quick(tiny_models["bert"], objective=objective)
    folder = adapt_model(TEXTS, tmp_path / "out", config, TRAIN, SPLIT)
    card = card_of(folder)
    assert card["best"] < card["losses"][0]["held_out"] - 0.02
    assert card["split"] == SPLIT
    assert card["step"] == 12
    assert not list(tmp_path.glob("*.checkpoint.*"))
    own = TextConfig(model=str(folder), dtype="float32")
    vectors = encode_texts(TEXTS, own, tmp_path / "cache", split=SPLIT)
    frozen = encode_texts(TEXTS, replace(own, model=str(tiny_models["bert"])), tmp_path / "cache")
    assert np.abs(vectors - frozen).max() > 1e-3
    with pytest.raises(DataError, match="adapted on the train part of split 555555555555, not of split 666"):
        encode_texts(TEXTS, own, tmp_path / "cache", split="6" * 64)


def test_pairs_bring_items_of_the_same_users_together(tiny_models: dict[str, Path], tmp_path: Path):
    config = quick(tiny_models["bert"], steps=30)
    folder = adapt_model(TEXTS, tmp_path / "out", config, TRAIN, SPLIT)

    def gap(model: Path) -> float:
        vectors = encode_texts(
            TEXTS, TextConfig(model=str(model), dtype="float32"), tmp_path / "c", split=SPLIT
        )
        similar = vectors @ vectors.T
        same = np.add.outer(np.arange(20), np.arange(20)) % 2 == 0
        return float(similar[same & ~np.eye(20, dtype=bool)].mean() - similar[~same].mean())

    assert gap(folder) > gap(tiny_models["bert"]) + 0.15


@pytest.mark.parametrize("family", ["modernbert", "qwen3"])
def test_other_families(family: str, tiny_models: dict[str, Path], tmp_path: Path):
    config = quick(tiny_models[family], steps=4)
    config = replace(config, freeze_embeddings=True)
    folder = adapt_model(TEXTS, tmp_path / "out", config, TRAIN, SPLIT)
    before, after = weights_of(tiny_models[family]), weights_of(folder)
    tables = [name for name in after if name.endswith(("embed_tokens.weight", "tok_embeddings.weight"))]
    assert len(tables) == 1
    old = next(value for name, value in before.items() if name.endswith(tables[0]))
    torch.testing.assert_close(after[tables[0]], old)
    vectors = encode_texts(TEXTS, TextConfig(model=str(folder)), tmp_path / "cache", split=SPLIT)
    assert np.isfinite(vectors).all()


def test_lora_changes_the_merged_weights_by_low_rank_only(tiny_models: dict[str, Path], tmp_path: Path):
    pytest.importorskip("peft", reason='needs pip install "gnnrec[adapt]"')
    folder = adapt_model(TEXTS, tmp_path / "out", quick(tiny_models["bert"], **LORA), TRAIN, SPLIT)
    before, after = weights_of(tiny_models["bert"]), weights_of(folder)
    changed = 0
    for name, value in after.items():
        if "pooler" in name:
            continue
        old = before[f"bert.{name}"]
        difference = (value - old).double()
        if difference.abs().max() > 1e-6:
            assert value.ndim == 2
            assert int(torch.linalg.matrix_rank(difference, rtol=1e-3)) <= 2
            changed += 1
    assert changed >= 12


@pytest.mark.parametrize("changes", [{}, LORA])
def test_mix_keeps_a_share_of_what_was_learned(
    changes: dict[str, int], tiny_models: dict[str, Path], tmp_path: Path
):
    before = weights_of(tiny_models["bert"])
    whole, part = (
        weights_of(adapt_model(TEXTS, tmp_path / f"{mix}", config, TRAIN, SPLIT))
        for mix in (1.0, 0.25)
        for config in [quick(tiny_models["bert"], mix=mix, **changes)]
    )
    moved = 0
    for name, value in whole.items():
        if "pooler" not in name:  # drawn at random where the folder lacks it
            old = before[f"bert.{name}"]
            torch.testing.assert_close(part[name], old + 0.25 * (value - old), rtol=1e-4, atol=1e-6)
            moved += not torch.equal(value, old)
    assert moved > 5


def test_lora_trains_no_new_head_and_no_word_vectors(tiny_models: dict[str, Path], tmp_path: Path):
    pytest.importorskip("peft", reason='needs pip install "gnnrec[adapt]"')
    config = quick(tiny_models["bert"], objective="mlm", steps=1, **LORA)
    adapted = adapt_model(TEXTS, tmp_path / "headless", config, TRAIN, SPLIT)
    with pytest.raises(ConfigError, match=r"trains no new head.*without the head of"):
        adapt_model(TEXTS, tmp_path / "out", replace(config, model=str(adapted)), TRAIN, SPLIT)
    with pytest.raises(ConfigError, match="'freeze_embeddings' must be true with 'lora_rank'"):
        replace(config, freeze_embeddings=False)


@pytest.mark.parametrize(
    ("config", "model", "table"),
    [
        (T5Config(d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4), T5EncoderModel, "shared.weight"),
        (GPT2Config(n_embd=32, n_layer=2, n_head=4, n_positions=64), GPT2Model, "wte.weight"),
        (
            GPTNeoXConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48),
            GPTNeoXModel,
            "embed_in.weight",
        ),
    ],
)
def test_word_vectors_stay_as_they_are_whatever_their_name(
    config: Any, model: Any, table: str, tmp_path: Path
):
    tokenizer = make_tokenizer(decoder=True)
    config.vocab_size, config.pad_token_id = len(tokenizer), 0
    torch.manual_seed(0)
    network = model(config)
    for owner in (network, tokenizer):
        owner.save_pretrained(tmp_path / "model")
    settings = quick(tmp_path / "model", steps=2, freeze_embeddings=True)
    after = weights_of(adapt_model(TEXTS, tmp_path / "out", settings, TRAIN, SPLIT))
    changed = [
        name for name, value in weights_of(tmp_path / "model").items() if not torch.equal(value, after[name])
    ]
    assert changed
    assert table in after
    assert table not in changed


def test_a_long_max_length_is_cut_to_what_the_model_takes(tiny_models: dict[str, Path], tmp_path: Path):
    config = quick(tiny_models["bert"], steps=1, max_length=5000)
    assert adapt_model(TEXTS, tmp_path / "out", config, TRAIN, SPLIT).is_dir()


def test_lora_without_peft_names_the_command(
    tiny_models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(__import__("sys").modules, "peft", None)
    with pytest.raises(ConfigError, match=r'pip install "gnnrec\[adapt\]"'):
        adapt_model(TEXTS, tmp_path / "out", quick(tiny_models["bert"], **LORA), TRAIN, SPLIT)


def test_unseen_items_take_no_part(tiny_models: dict[str, Path], tmp_path: Path):
    config = quick(tiny_models["bert"], steps=3)
    train = TRAIN.select(TRAIN.item < 16)
    first = adapt_model(TEXTS, tmp_path / "a", config, train, SPLIT)
    second = adapt_model([*TEXTS[:16], *["other words"] * 4], tmp_path / "b", config, train, SPLIT)
    assert card_of(first)["fingerprint"] == card_of(second)["fingerprint"]
    for name, value in weights_of(first).items():
        assert torch.equal(value, weights_of(second)[name])


def test_a_prompt_is_not_augmented():
    seen: list[list[int]] = []

    def encode(batch: Sequence[list[int]]) -> torch.Tensor:
        seen.extend(batch)
        return torch.eye(len(batch))

    config = quick(Path("unused"), objective="texts", deletion=0.5, crop=0.5, shuffle=0.5)
    prompt, texts = [1, 7, 8], [[*range(10 + row, 20 + row), 2] for row in range(20)]
    readings = [[[*prompt, *text] for text in texts], [[1, 9, 9, *text] for text in texts]]
    draw, _ = text_losses(encode, readings, frozenset({1, 2}), len(prompt), config)
    draw(np.random.default_rng(0))
    assert all(ids[:3] == prompt and ids[-1] == 2 for ids in seen)
    assert [*map(len, seen)] != [14] * len(seen)


def test_random_tokens_are_those_that_the_weights_know(tiny_models: dict[str, Path], tmp_path: Path):
    model = Path(shutil.copytree(tiny_models["bert"], tmp_path / "model"))
    tokenizer = AutoTokenizer.from_pretrained(model)
    tokenizer.add_tokens([f"zz{n}" for n in range(500)])
    tokenizer.save_pretrained(model)
    config = quick(model, objective="mlm", mask=0.5, steps=3)
    assert adapt_model(TEXTS, tmp_path / "out", config, TRAIN, SPLIT).is_dir()


def test_errors(tiny_models: dict[str, Path], tmp_path: Path):
    config = quick(tiny_models["bert"], steps=1)
    with pytest.raises(ConfigError, match="pairs needs the train interactions"):
        adapt_model(TEXTS, tmp_path / "out", config)
    with pytest.raises(ConfigError, match="fingerprint of their split"):
        adapt_model(TEXTS, tmp_path / "out", config, TRAIN)
    with pytest.raises(DataError, match=r"one text per item \(expected 20, got 3\)"):
        adapt_model(TEXTS[:3], tmp_path / "out", config, TRAIN, SPLIT)
    alone = Interactions(np.arange(20), np.arange(20), 20, 20)
    with pytest.raises(DataError, match="no two items with text share a user"):
        adapt_model(TEXTS, tmp_path / "out", config, alone, SPLIT)
    with pytest.raises(DataError, match="at least 4 texts"):
        adapt_model([*TEXTS[:3], *[""] * 17], tmp_path / "out", config, TRAIN, SPLIT)
    with pytest.raises(ConfigError, match="mask token"):
        adapt_model(TEXTS, tmp_path / "out", quick(tiny_models["llama"], objective="mlm"), TRAIN, SPLIT)
    with pytest.raises(DataError, match="lower 'lr'"):
        adapt_model(TEXTS, tmp_path / "out", quick(tiny_models["bert"], lr=1e9, steps=9), TRAIN, SPLIT)
    (tmp_path / "bad.checkpoint.safetensors").write_bytes(b"cut")
    with pytest.raises(DataError, match="is damaged"):
        adapt_model(TEXTS, tmp_path / "bad", config, TRAIN, SPLIT)
    with pytest.raises(
        ConfigError, match=r"adapt\.device=nonsense cannot be used \(.*use adapt\.device=auto"
    ):
        adapt_model(TEXTS, tmp_path / "out", replace(config, device="nonsense"), TRAIN, SPLIT)
    with pytest.raises(ConfigError, match="unknown objective 'simcse' in 'adapt'"):
        AdaptConfig(objective="simcse")


def test_the_learning_rate_rises_and_falls():
    config = AdaptConfig(steps=100, warmup=0.1, lr=1.0)
    rates = [learning_rate(config, step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[9] == rates[10] == 1.0
    assert rates[99] == pytest.approx(1 / 90)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert learning_rate(AdaptConfig(steps=1, warmup=0.0, lr=0.5), 0) == 0.5


@pytest.mark.parametrize(
    ("objective", "name", "value", "readers"),
    [
        ("mlm", "synonyms", 0.1, "texts"),
        ("pairs", "synonyms", 0.1, "texts"),
        ("pairs", "synonym_model", "words", "texts"),
        ("pairs", "crop", 0.5, "texts"),
        ("mlm", "deletion", 0.2, "texts"),
        ("pairs", "shuffle", 0.2, "texts"),
        ("texts", "mask", 0.3, "mlm"),
        ("mlm", "temperature", 0.1, "texts and pairs"),
    ],
)
def test_settings_that_the_objective_would_pass_over_are_an_error(
    objective: str, name: str, value: Any, readers: str
):
    message = rf"^'{name}' in 'adapt' is read by 'objective' {readers} alone \(got {value} with {objective}\)"
    with pytest.raises(ConfigError, match=message):
        AdaptConfig(objective=objective, **{name: value})
