"""A linear map of text vectors learned from train interactions: the mean of maps trained on parts of the rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F

from gnnrec.errors import ConfigError
from gnnrec.progress import Progress
from gnnrec.text.contrast import history_loss

BAGS, STEPS, OWNERS = 8, 60, 512
_MOST_ROWS = 8192  # of a bag: a step holds a few matrices of owners x rows
_LR, _TEMPERATURE = 1e-3, 0.05


def contrastive_map(
    centred: np.ndarray, histories: sp.csr_array, shrinkage: float = 0.0, seed: int = 0
) -> np.ndarray:
    """Return shrinkage I + (1 - shrinkage) mean_b W_b: maps under which rows of one owner are alike.

    W_b starts at the identity and minimises `history_loss` over a bag of rows, a quarter of all and at most 8,192,
    drawn without replacement: of random owners that have two rows of the bag, one part (a fair coin for each row) is
    ranked by the other. Each map learns its own rows by heart, and unseen rows are then less alike to anything than
    these; in the mean of maps (Breiman 1996, https://doi.org/10.1007/BF00058655) two rows have been together in few
    bags, and what all bags learn is left. 60 steps of Adam for each of 8 bags, 512 owners a step.

    Args:
        centred: vectors of the training rows less their mean [n, d].
        histories: 1 where an owner (the users of items) has a row in train [owners, n].
        shrinkage: the share of the identity.
        seed: of bags, owners and coins.

    Returns:
        float64 [d, d].

    Raises:
        ConfigError: no owner has two rows of one bag.
    """
    vectors = torch.from_numpy(centred.astype(np.float32))
    size = min(max(len(vectors) // 4, 2), _MOST_ROWS)
    total, learned = np.zeros((vectors.shape[1],) * 2), False
    with Progress(total=BAGS * STEPS, name="learning the map of the text", unit="step") as bar:
        for bag in range(BAGS):
            generator = np.random.default_rng([seed, bag])
            rows = np.sort(generator.choice(len(vectors), size, replace=False))
            within = sp.csr_array(histories[:, rows])
            learned |= bool((np.diff(within.indptr) > 1).any())
            total += _trained(vectors[torch.from_numpy(rows)], within, generator, bar)
    if not learned:
        raise ConfigError(
            f"text.reduce=contrastive learns from owners (users of items, items of users) with two rows among {size} "
            f"of the {len(vectors)} training rows, and there is none: choose another 'reduce'"
        )
    return shrinkage * np.eye(vectors.shape[1]) + (1 - shrinkage) * total / BAGS


def _trained(
    vectors: torch.Tensor, histories: sp.csr_array, generator: np.random.Generator, bar: Progress[Any]
) -> np.ndarray:
    """Return the map of one bag, trained on owners who have two of its rows."""
    matrix = torch.eye(vectors.shape[1], requires_grad=True)
    optimizer = torch.optim.Adam([matrix], lr=_LR)
    count = torch.from_numpy(np.asarray(histories.sum(axis=0))).float()
    log_share = (count / count.sum()).log()
    several = np.flatnonzero(np.diff(histories.indptr) > 1)
    for _ in range(STEPS if len(several) else 0):
        owners = generator.choice(several, min(OWNERS, len(several)), replace=False)
        taken = torch.from_numpy(histories[owners].toarray()).float()
        history = taken * torch.from_numpy(generator.random(taken.shape) < 0.5)
        keys = F.normalize(vectors @ matrix, dim=1)
        loss = history_loss(keys, history, taken - history, log_share, _TEMPERATURE)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        bar.update()
    return matrix.detach().double().numpy()
