"""Augmentations of token ids and the masking of masked-language modelling."""

from __future__ import annotations

import numpy as np

IGNORED = -100


def augment_tokens(
    ids: list[int],
    special: frozenset[int],
    generator: np.random.Generator,
    deletion: float,
    crop: float,
    shuffle: float,
) -> list[int]:
    """Return the tokens with a random span cut off, tokens deleted and tokens moved.

    Special tokens that begin and end the text stay; those inside, as unknown words, are tokens like others.
    crop: the share of tokens outside a random span (Gao et al. 2021 compare it with dropout alone, SimCSE,
    https://arxiv.org/abs/2104.08821, table 1); deletion: the probability that a token is deleted; shuffle:
    the probability that a token takes part in a random exchange of places. At least one token remains.
    """
    places = [place for place, token in enumerate(ids) if token not in special]
    if len(places) < 2:
        return ids
    first, last = places[0], places[-1]
    inner = ids[first : last + 1]
    kept = max(1, round(len(inner) * (1 - crop)))
    start = int(generator.integers(0, len(inner) - kept + 1))
    inner = inner[start : start + kept]
    survivors = [token for token in inner if generator.random() >= deletion]
    inner = survivors or inner[:1]
    moved = np.flatnonzero(generator.random(len(inner)) < shuffle)
    for place, token in zip(moved, [inner[place] for place in generator.permutation(moved)]):
        inner[place] = token
    return [*ids[:first], *inner, *ids[last + 1 :]]


def mask_tokens(
    ids: np.ndarray,
    maskable: np.ndarray,
    generator: np.random.Generator,
    share: float,
    mask_id: int,
    vocabulary: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs and labels of masked-language modelling (Devlin et al. 2019, section 3.1).

    A `share` of the maskable tokens is to be predicted: of these 80% become the mask token, 10% a random
    token, 10% stay. Labels are IGNORED elsewhere. At least one token is to be predicted.

    Shapes: ids int64 [b, t], maskable bool [b, t] -> two int64 [b, t].
    """
    chosen = maskable & (generator.random(ids.shape) < share)
    if not chosen.any():
        places = np.argwhere(maskable)
        row, column = places[generator.integers(len(places))]
        chosen[row, column] = True
    kind = generator.random(ids.shape)
    inputs = np.where(chosen & (kind < 0.8), mask_id, ids)
    random = generator.integers(0, vocabulary, ids.shape)
    inputs = np.where(chosen & (kind >= 0.9), random, inputs)
    return inputs, np.where(chosen, ids, IGNORED)
