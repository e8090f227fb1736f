"""Synonyms by a masked language model: tokens replaced by what the model would put in their place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from gnnrec.errors import ConfigError
from gnnrec.text.transformer import pad_batch

_CANDIDATES = 5
_BATCH = 64


@torch.inference_mode()
def replace_by_synonyms(
    model: Any, tokenizer: Any, tokens: Sequence[list[int]], share: float, seed: int
) -> list[list[int]]:
    """Return the texts with a `share` of tokens masked and replaced by one of the model's five best guesses.

    The token itself and special tokens are never chosen. The model must share the tokenizer of `tokens`.
    """
    mask_id = tokenizer.mask_token_id
    if mask_id is None:
        raise ConfigError("'synonym_model' in 'adapt' must be a masked language model (it has no mask token)")
    special = sorted(tokenizer.all_special_ids)
    generator = np.random.default_rng(seed)
    replaced = [list(ids) for ids in tokens]
    order = sorted((row for row in range(len(tokens)) if tokens[row]), key=lambda row: -len(tokens[row]))
    for start in range(0, len(order), _BATCH):
        rows = order[start : start + _BATCH]
        ids, mask = pad_batch([tokens[row] for row in rows], tokenizer.pad_token_id or 0)
        chosen = mask.bool() & ~torch.isin(ids, torch.tensor(special))
        chosen &= torch.from_numpy(generator.random(ids.shape) < share)
        if not chosen.any():
            continue
        device = model.device
        masked = ids.masked_fill(chosen, mask_id).to(device)
        logits = model(input_ids=masked, attention_mask=mask.to(device)).logits
        scores = logits[chosen.to(device)].float().cpu()
        scores[:, special] = -torch.inf
        scores.scatter_(1, ids[chosen][:, None], -torch.inf)
        best = scores.topk(_CANDIDATES, dim=1).indices.numpy()
        picks = best[np.arange(len(best)), generator.integers(0, _CANDIDATES, len(best))]
        for (row, place), token in zip(chosen.nonzero().tolist(), picks.tolist()):
            replaced[rows[row]][place] = token
    return replaced
