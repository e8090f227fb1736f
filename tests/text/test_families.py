"""Families of language models that are loaded or count positions in their own way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import (
    CamembertConfig,
    CamembertModel,
    MPNetConfig,
    MPNetModel,
    RobertaConfig,
    RobertaModel,
    T5Config,
    T5EncoderModel,
    T5ForConditionalGeneration,
)

from gnnrec.text import TextConfig, encode_texts
from gnnrec.text.models import find_model
from gnnrec.text.transformer import load_model, load_tokenizer, position_limit
from tests.text.conftest import SIZES, make_tokenizer

TEXTS = ["the shared library " * 100, "ink"]


def test_of_an_encoder_decoder_the_encoder_is_taken(tmp_path: Path):
    tokenizer = make_tokenizer(decoder=False)
    sizes = {"d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4}
    torch.manual_seed(0)
    whole = T5ForConditionalGeneration(T5Config(vocab_size=len(tokenizer), **sizes, pad_token_id=0))
    whole.save_pretrained(tmp_path / "whole")
    T5EncoderModel.from_pretrained(tmp_path / "whole").save_pretrained(tmp_path / "encoder")
    vectors = []
    for name in ("whole", "encoder"):
        tokenizer.save_pretrained(tmp_path / name)
        config = TextConfig(model=str(tmp_path / name), dtype="float32", max_length=16, normalize=False)
        vectors.append(encode_texts(TEXTS, config, tmp_path / "cache"))
    ids = tokenizer("ink", return_tensors="pt", return_token_type_ids=False)
    with torch.inference_mode():
        states = whole.eval().get_encoder()(**ids).last_hidden_state[0]
    np.testing.assert_allclose(vectors[0][1], states.mean(0).numpy(), atol=1e-5)
    np.testing.assert_array_equal(*vectors)


@pytest.mark.parametrize(
    ("config", "model"),
    [(MPNetConfig, MPNetModel), (CamembertConfig, CamembertModel), (RobertaConfig, RobertaModel)],
)
def test_positions_after_the_padding_token_leave_fewer_tokens(config: type, model: type, tmp_path: Path):
    tokenizer = make_tokenizer(decoder=False)
    torch.manual_seed(0)
    settings = config(vocab_size=len(tokenizer), **SIZES, max_position_embeddings=66, pad_token_id=1)
    model(settings).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    own = TextConfig(model=str(tmp_path / "model"), dtype="float32")
    assert np.isfinite(encode_texts(TEXTS, own, tmp_path / "cache")).all()
    found = find_model(own.model)
    assert position_limit(load_tokenizer(found), load_model(found)) == 64
