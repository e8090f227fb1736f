"""A language model of the transformers library as a function from texts to vectors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from gnnrec.devices import resolve_device
from gnnrec.errors import ConfigError, DataError
from gnnrec.text.config import TextConfig
from gnnrec.text.dense import load_dense
from gnnrec.text.models import ModelFolder, read_json
from gnnrec.text.pooling import pool
from gnnrec.text.settings import Settings

# Texts are cut to this many characters per token before they are tokenized, which would take long. It changes a vector
# only where words or runs of blanks are longer: WordPiece makes one token of a long word, and none of blanks.
_CHARACTERS_PER_TOKEN = 128


class TransformerEncoder:
    """Tokenizer and model of a folder; `encode` gives float32 vectors [n, d], whole and not normalised.

    Padding stands on the right and is masked. A causal model cannot see what comes after a token, so its
    last real token is the same as with the left padding that such models are usually given, and positions
    stay 0, 1, 2, ...
    """

    def __init__(
        self, model: ModelFolder, settings: Settings, config: TextConfig, dtype: torch.dtype
    ) -> None:
        self.settings, self.config, self.name = settings, config, model.name
        self.device = resolve_device(config.device, "text.device")
        self.tokenizer = load_tokenizer(model)
        self.model = load_model(model, dtype).eval().to(self.device)
        width = getattr(self.model.config.get_text_config(), "hidden_size", None)
        self.dense = load_dense(model, settings.dense, width).to(self.device)
        self.pad = self.tokenizer.pad_token_id or 0
        self.max_length = min(config.max_length, position_limit(self.tokenizer, self.model))
        self.eos = self._eos() if settings.pooling == "eos" else None
        self.prompt_length = self._prompt_length()
        self._check_room()

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Encode at least one text."""
        rows, vectors = zip(*self.encode_batches(texts), strict=True)
        return np.concatenate(vectors)[np.argsort(np.concatenate(rows))]

    def encode_batches(self, texts: Sequence[str]) -> Iterator[tuple[list[int], np.ndarray]]:
        """Yield rows and their vectors, in batches of similar length under the token budget, from long to short."""
        tokens = self.tokenize(texts)
        for rows in _batches([len(ids) for ids in tokens], self.config.batch_tokens):
            yield rows, self._forward([tokens[row] for row in rows]).cpu().numpy()

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of prompt + text, special tokens included, cut to max_length."""
        limit = self.max_length * _CHARACTERS_PER_TOKEN
        tokens = self.tokenizer(
            [self._prompted(text[:limit]) for text in texts],
            truncation=True,
            max_length=self.max_length,
            padding=False,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )["input_ids"]
        if self.eos is not None:
            tokens = [_end_with(ids, self.eos, self.max_length) for ids in tokens]
        known = self.model.get_input_embeddings().num_embeddings
        largest = max((max(ids) for ids in tokens if ids), default=0)
        if largest >= known:
            raise DataError(
                f"the tokenizer of text model '{self.name}' gives token {largest}, its weights know {known} tokens: "
                "they belong to different models"
            )
        return [ids or [self.pad] for ids in tokens]

    @torch.inference_mode()
    def _forward(self, tokens: list[list[int]]) -> torch.Tensor:
        ids, mask = pad_batch(tokens, self.pad)
        ids, mask = ids.to(self.device), mask.to(self.device)
        states = self.model(input_ids=ids, attention_mask=mask).last_hidden_state
        return self.dense(self.pooled(states, mask))

    def pooled(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Pool the states of padded tokens as the settings say, the prompt left out where they do: [b, d]."""
        if self.prompt_length and not self.settings.pool_prompt:
            kept = mask.clone()
            kept[:, : self.prompt_length] = 0
            # A prompt that fills the whole text is pooled after all, for there is nothing else.
            mask = torch.where(kept.any(dim=1, keepdim=True), kept, mask)
        return pool(states, mask, self.settings.pooling)

    def _eos(self) -> int:
        eos = self.tokenizer.eos_token_id
        eos = self.tokenizer.sep_token_id if eos is None else eos
        if eos is None:
            raise ConfigError(
                f"text model '{self.name}' has no end-of-sequence token: text.pooling=eos cannot be"
            )
        return int(eos)

    def _prompted(self, text: str) -> str:
        """Return prompt and text as the tokenizer gets them."""
        prompted = encodable(self.settings.prompt + text)
        return prompted.lower() if self.settings.lower_case else prompted

    def _check_room(self) -> None:
        """Raise a ConfigError where no token of a text is left beside the prompt: all texts would be the same."""
        ids = self.tokenizer(self._prompted(""))["input_ids"]
        around = len(ids) + (self.eos is not None and self.eos not in ids[-1:])
        if around >= self.max_length:
            raise ConfigError(
                f"'max_length' must be above the {around} tokens that text model '{self.name}' makes of the prompt and "
                f"of what stands around a text (got {self.max_length})"
            )

    def _prompt_length(self) -> int:
        ids = self.tokenizer(self._prompted(""))["input_ids"] if self.settings.prompt else []
        closed = bool(ids) and ids[-1] in self.tokenizer.all_special_ids
        return len(ids) - closed


def pad_batch(tokens: Sequence[Sequence[int]], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return token ids padded on the right and the mask of real tokens, both int64 [b, longest]."""
    length = max(map(len, tokens))
    ids = torch.full((len(tokens), length), pad, dtype=torch.long)
    mask = torch.zeros((len(tokens), length), dtype=torch.long)
    for row, one in enumerate(tokens):
        ids[row, : len(one)] = torch.tensor(one)
        mask[row, : len(one)] = 1
    return ids, mask


def load_tokenizer(model: ModelFolder) -> Any:
    """Return the tokenizer of a model folder."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(model.path, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # as in load_model; config.json is read here, too
        raise DataError(
            f"the tokenizer of text model '{model.name}' cannot be read: {_line(error)}"
        ) from error


def load_model(
    model: ModelFolder, dtype: torch.dtype = torch.float32, head: str = "AutoModel", new_head: bool = False
) -> Any:
    """Return the model of a folder; a DataError where the weights do not fit.

    head: the transformers class that loads it, `AutoModel` for the model without a head (of T5 and its like the
    encoder alone). new_head: whether a head that the folder lacks may be drawn at random.
    """
    import transformers

    loader = "AutoModelForTextEncoding" if head == "AutoModel" and _encodes_alone(model) else head
    try:
        with quiet():
            loaded, info = getattr(transformers, loader).from_pretrained(
                model.path,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                dtype=dtype,
                output_loading_info=True,
            )
    except Exception as error:  # whatever the library raises for a broken folder, the user gets one line
        raise DataError(
            f"text model '{model.name}' cannot be loaded from '{model.path}': {_line(error)}"
        ) from error
    missing = sorted(name for name in info["missing_keys"] if "pooler" not in name)
    if head != "AutoModel":
        body = [name for name in missing if name.startswith(f"{loaded.base_model_prefix}.")]
        if missing and not body and not new_head:
            raise DataError(
                f"text model '{model.name}' was saved without the head of {head} (first '{missing[0]}'): "
                "choose one that has it"
            )
        missing = body
    if missing or info.get("mismatched_keys"):
        first = missing[0] if missing else str(sorted(info["mismatched_keys"])[0])
        raise DataError(
            f"the weights of text model '{model.name}' do not fit its config.json (first '{first}'): "
            "they belong to another model or are incomplete"
        )
    return loaded


def _encodes_alone(model: ModelFolder) -> bool:
    """Return whether the library has the encoder of an encoder-decoder model as a model of its own."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_TEXT_ENCODING_MAPPING_NAMES

    model_type = str(read_json(model.path / "config.json", {}).get("model_type"))
    names: Any = MODEL_FOR_TEXT_ENCODING_MAPPING_NAMES  # its type knows only the keys it has
    return str(names.get(model_type, "")).endswith("EncoderModel")


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the library's own bars and reports of unused heads off the console."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def position_limit(tokenizer: Any, model: Any) -> int:
    """Return how many tokens the model takes: learned positions end somewhere."""
    positions = getattr(model.config, "max_position_embeddings", None) or 0
    if positions < 1:  # -1 where positions are relative, as in XLNet
        return tokenizer.model_max_length
    for name, table in model.named_modules():
        # RoBERTa and its like number positions from the one after the padding token's.
        if name.endswith("position_embeddings") and getattr(table, "padding_idx", None) is not None:
            positions -= table.padding_idx + 1
    return min(positions, tokenizer.model_max_length)


def _batches(lengths: list[int], budget: int) -> Iterator[list[int]]:
    """Yield rows from long to short such that rows x longest stays within the token budget."""
    order = sorted(range(len(lengths)), key=lambda row: -lengths[row])
    start = 0
    while start < len(order):
        size = max(1, budget // max(1, lengths[order[start]]))
        yield order[start : start + size]
        start += size


def encodable(text: str) -> str:
    """Return the text with '?' for each half of a character, which UTF-8 cannot hold."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _end_with(ids: list[int], eos: int, max_length: int) -> list[int]:
    return ids if ids and ids[-1] == eos else [*ids[: max_length - 1], eos]


def _line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__
