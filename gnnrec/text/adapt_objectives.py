"""What adaptation minimises: a loss on a random batch, and the same loss on held-out texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from gnnrec.data.interactions import Interactions
from gnnrec.errors import DataError
from gnnrec.text.adapt_config import AdaptConfig
from gnnrec.text.augment import IGNORED, augment_tokens, mask_tokens
from gnnrec.text.contrast import PairSampler, two_view_loss, weighted_pair_loss
from gnnrec.text.transformer import pad_batch

Tokens = Sequence[list[int]]
Encode = Callable[[Tokens], Tensor]
DrawLoss = Callable[[np.random.Generator], Tensor]
_HELD_OUT = 512


def pair_losses(
    encode: Encode, tokens: Tokens, train: Interactions, config: AdaptConfig
) -> tuple[DrawLoss, DrawLoss]:
    """Return the loss of a batch of co-interacted items, and that of held-out items among all others.

    Only items with a train interaction take part. A share `validation` of them is held out: no batch holds
    their text.
    """
    usable = np.flatnonzero(train.item_counts() > 0)
    usable = usable[[len(tokens[int(row)]) > 0 for row in usable]]
    held, kept = _hold_out(usable, config)
    sampler, everything = PairSampler(train, kept), PairSampler(train, usable)

    def draw(generator: np.random.Generator) -> Tensor:
        rows, weight = sampler.sample(config.batch_size, generator)
        vectors = encode([tokens[int(row)] for row in rows])
        return weighted_pair_loss(vectors, torch.from_numpy(weight).to(vectors.device), config.temperature)

    def held_out(generator: np.random.Generator) -> Tensor:
        few = generator.permutation(held)[: _HELD_OUT // 2]
        rows = np.concatenate([few, generator.permutation(kept)[: _HELD_OUT - len(few)]])
        local = np.searchsorted(usable, rows)
        weight = everything.weight[local][:, local].toarray()
        weight[len(few) :] = 0
        if not weight.any():
            raise DataError(
                f"none of {len(few)} held-out items shares a user with another: raise 'validation' in 'adapt'"
            )
        vectors = encode([tokens[int(row)] for row in rows])
        return weighted_pair_loss(vectors, torch.from_numpy(weight).to(vectors.device), config.temperature)

    return draw, held_out


def text_losses(
    encode: Encode, readings: Sequence[Tokens], special: frozenset[int], prompt: int, config: AdaptConfig
) -> tuple[DrawLoss, DrawLoss]:
    """Return the loss between two augmented readings of each text of a batch, and that of held-out texts.

    readings: one or more token lists per text; the first is the text, the others have synonyms in it.
    prompt: the number of tokens before each text, which stay as they are.
    """
    usable = np.flatnonzero([len(ids) > 0 for ids in readings[0]])

    def view(rows: np.ndarray, generator: np.random.Generator) -> Tensor:
        batch = [readings[int(generator.integers(len(readings)))][int(row)] for row in rows]
        shares = (config.deletion, config.crop, config.shuffle)
        texts = [augment_tokens(ids[prompt:], special, generator, *shares) for ids in batch]
        return encode([[*readings[0][int(row)][:prompt], *text] for row, text in zip(rows, texts)])

    def loss(rows: np.ndarray, generator: np.random.Generator) -> Tensor:
        return two_view_loss(view(rows, generator), view(rows, generator), config.temperature)

    return _split_loss(loss, usable, config)


def mlm_losses(model: Any, tokenizer: Any, tokens: Tokens, config: AdaptConfig) -> tuple[DrawLoss, DrawLoss]:
    """Return the mean cross-entropy of masked tokens on a batch, and on held-out texts."""
    usable = np.flatnonzero([len(ids) > 0 for ids in tokens])
    special = np.array(sorted(tokenizer.all_special_ids))
    pad = tokenizer.pad_token_id or 0
    # A tokenizer may have tokens that the weights lack.
    known = min(len(tokenizer), model.get_input_embeddings().num_embeddings)

    def loss(rows: np.ndarray, generator: np.random.Generator) -> Tensor:
        ids, mask = pad_batch([tokens[int(row)] for row in rows], pad)
        array = ids.numpy()
        maskable = mask.numpy().astype(bool) & ~np.isin(array, special)
        if not maskable.any():
            raise DataError("the texts hold no token that could be masked")
        inputs, labels = mask_tokens(array, maskable, generator, config.mask, tokenizer.mask_token_id, known)
        logits = model(
            input_ids=torch.from_numpy(inputs).to(config.device), attention_mask=mask.to(config.device)
        ).logits
        target = torch.from_numpy(labels).to(config.device)
        return F.cross_entropy(logits.flatten(0, 1).float(), target.flatten(), ignore_index=IGNORED)

    return _split_loss(loss, usable, config)


def _split_loss(
    loss: Callable[[np.ndarray, np.random.Generator], Tensor], usable: np.ndarray, config: AdaptConfig
) -> tuple[DrawLoss, DrawLoss]:
    """Return a loss of rows on a random batch of the kept ones, and on held-out ones."""
    held, kept = _hold_out(usable, config)

    def draw(generator: np.random.Generator) -> Tensor:
        return loss(generator.choice(kept, size=min(config.batch_size, len(kept)), replace=False), generator)

    def held_out(generator: np.random.Generator) -> Tensor:
        return loss(generator.permutation(held)[: _HELD_OUT // 2], generator)

    return draw, held_out


def _hold_out(usable: np.ndarray, config: AdaptConfig) -> tuple[np.ndarray, np.ndarray]:
    """Return held-out and kept rows, both sorted; at least two of each."""
    if len(usable) < 4:
        raise DataError(f"adaptation needs at least 4 texts (got {len(usable)})")
    count = min(max(2, round(config.validation * len(usable))), len(usable) - 2)
    order = np.random.default_rng([config.seed, 1]).permutation(usable)
    return np.sort(order[:count]), np.sort(order[count:])
