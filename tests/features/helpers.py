"""Vectors like those of a language model, and features made from them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from gnnrec.data.interactions import Interactions
from gnnrec.features import InitConfig, NodeFeatures, make_features

NUM_USERS, NUM_ITEMS, WIDTH = 30, 25, 12  # the last three users and items are not seen in training


def make_vectors(num_rows: int, seed: int = 0) -> np.ndarray:
    """Vectors with a shared direction and columns of falling variance, as those of a language model."""
    scale = np.linspace(3, 0.1, WIDTH)
    return (np.random.default_rng(seed).normal(size=(num_rows, WIDTH)) * scale + 5).astype(np.float32)


def make(train: Interactions, **options: object) -> NodeFeatures:
    config = InitConfig(**{"dim": 8, **options})  # type: ignore[arg-type]
    torch.manual_seed(0)
    return make_features(config, train, make_vectors(NUM_ITEMS), make_vectors(NUM_USERS, 1))


def centred_vectors() -> Tensor:
    """The items' vectors as a projection sees them: centred and of unit mean square length on the 22 seen rows."""
    x = torch.from_numpy(make_vectors(NUM_ITEMS))
    x = x - x[:22].mean(0)
    return x / x[:22].square().sum(1).mean().sqrt()


def randomise(module: torch.nn.Module) -> None:
    """Give every parameter a value other than its start, so that an oracle sees all of them."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(3)) * 0.5)
