"""A language model of the transformers library as a function from texts to vectors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from gnnrec.errors import DataError
from gnnrec.text.config import TextConfig
from gnnrec.text.models import ModelFolder
from gnnrec.text.pooling import pool
from gnnrec.text.settings import Settings

# No tokenizer makes fewer tokens than one per this many characters, so cutting here never changes a vector.
_CHARACTERS_PER_TOKEN = 128


class TransformerEncoder:
    """Tokenizer and model of a folder; `encode` gives float32 vectors [n, d], whole and not normalised."""

    def __init__(
        self, model: ModelFolder, settings: Settings, config: TextConfig, dtype: torch.dtype
    ) -> None:
        self.settings, self.config, self.name = settings, config, model.name
        self.tokenizer = load_tokenizer(model)
        self.model = load_model(model).eval().to(device=config.device, dtype=dtype)
        self.pad = self.tokenizer.pad_token_id or 0

    @torch.inference_mode()
    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Encode texts in batches of similar length; padding is masked on the right.

        With a causal model right padding cannot reach the tokens before it, so the last real token is the
        same as with left padding.
        """
        tokens = self.tokenize(texts)
        vectors: np.ndarray | None = None
        for rows in _batches([len(ids) for ids in tokens], self.config.batch_tokens):
            pooled = self._forward([tokens[row] for row in rows]).cpu().numpy()
            if vectors is None:
                vectors = np.empty((len(texts), pooled.shape[1]), dtype=np.float32)
            vectors[rows] = pooled
        assert vectors is not None, "encode needs at least one text"
        return vectors

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of prompt + text, special tokens included, cut to max_length."""
        limit = self.config.max_length * _CHARACTERS_PER_TOKEN
        prepared = [self.settings.prompt + text[:limit] for text in texts]
        if self.settings.lower_case:
            prepared = [text.lower() for text in prepared]
        return self.tokenizer(
            prepared,
            truncation=True,
            max_length=self.config.max_length,
            padding=False,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )["input_ids"]

    def _forward(self, tokens: list[list[int]]) -> torch.Tensor:
        length = max(map(len, tokens))
        ids = torch.full((len(tokens), length), self.pad, dtype=torch.long)
        mask = torch.zeros((len(tokens), length), dtype=torch.long)
        for row, one in enumerate(tokens):
            ids[row, : len(one)] = torch.tensor(one)
            mask[row, : len(one)] = 1
        ids, mask = ids.to(self.config.device), mask.to(self.config.device)
        states = self.model(input_ids=ids, attention_mask=mask).last_hidden_state
        return pool(states, mask, self.settings.pooling)


def load_tokenizer(model: ModelFolder) -> Any:
    """Return the tokenizer of a model folder."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(model.path, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise DataError(
            f"the tokenizer of text model '{model.name}' cannot be read: {_line(error)}"
        ) from error


def load_model(model: ModelFolder) -> Any:
    """Return the float32 model of a folder without its head; a DataError where the weights do not fit."""
    from transformers import AutoModel
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    try:
        loaded, info = AutoModel.from_pretrained(
            model.path,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
        )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise DataError(
            f"text model '{model.name}' cannot be loaded from '{model.path}': {_line(error)}"
        ) from error
    missing = sorted(name for name in info["missing_keys"] if "pooler" not in name)
    if missing:
        raise DataError(
            f"the weights of text model '{model.name}' lack {len(missing)} tensors, first '{missing[0]}': "
            "they belong to another model or are incomplete"
        )
    return loaded


def _batches(lengths: list[int], budget: int) -> Iterator[list[int]]:
    """Yield rows from long to short such that rows x longest stays within the token budget."""
    order = sorted(range(len(lengths)), key=lambda row: -lengths[row])
    start = 0
    while start < len(order):
        size = max(1, budget // max(1, lengths[order[start]]))
        yield order[start : start + size]
        start += size


def _line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
