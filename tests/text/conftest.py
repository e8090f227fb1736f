"""Small models with random weights, one per family, written to disk once per test run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertForMaskedLM,
    LlamaConfig,
    LlamaForCausalLM,
    ModernBertConfig,
    ModernBertForMaskedLM,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
)

WORDS = ["the", "a", "shared", "library", "for", "glib", "files", "editor", "text", "red", "ink", "printer"]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}


def make_tokenizer(decoder: bool) -> PreTrainedTokenizerFast:
    letters = [chr(code) for code in range(33, 127) if not chr(code).isupper()]
    pieces = [*SPECIAL, *WORDS, *letters, *(f"##{letter}" for letter in letters)]
    vocabulary = {piece: index for index, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    if decoder:
        return PreTrainedTokenizerFast(
            tokenizer_object=tokenizer, unk_token="[UNK]", eos_token="[SEP]", pad_token="[PAD]"
        )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        pad_token="[PAD]",
        mask_token="[MASK]",
    )


def make_model(family: str, vocabulary: int) -> Any:
    torch.manual_seed(0)
    shared = {**SIZES, "vocab_size": vocabulary, "pad_token_id": 0}
    if family == "bert":
        return BertForMaskedLM(BertConfig(**shared, max_position_embeddings=64))
    if family == "modernbert":
        ends = {"cls_token_id": 2, "sep_token_id": 3, "bos_token_id": 2, "eos_token_id": 3}
        return ModernBertForMaskedLM(
            ModernBertConfig(**shared, **ends, max_position_embeddings=64, local_attention=8)
        )
    heads = {"num_key_value_heads": 2, "eos_token_id": 3, "bos_token_id": None, "max_position_embeddings": 64}
    if family == "llama":
        return LlamaForCausalLM(LlamaConfig(**shared, **heads))
    return Qwen3ForCausalLM(Qwen3Config(**shared, **heads, head_dim=8))


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return {family: model folder} for bert, modernbert, llama and qwen3."""
    folders = {}
    for family in ("bert", "modernbert", "llama", "qwen3"):
        folder = tmp_path_factory.mktemp("models") / family
        tokenizer = make_tokenizer(decoder=family in ("llama", "qwen3"))
        model = make_model(family, len(tokenizer))
        # Two dozen kilobytes a shard: the folders also show that sharded weights are read.
        model.save_pretrained(folder, max_shard_size="24KB")
        tokenizer.save_pretrained(folder)
        folders[family] = folder
    return folders
