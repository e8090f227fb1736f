"""From a configuration to the untrained model and its objective."""

from __future__ import annotations

import numpy as np
import torch

from gnnrec.config import RunConfig, chain
from gnnrec.data.interactions import Interactions
from gnnrec.errors import ConfigError
from gnnrec.features import TextNeighbours, Vectors, as_array, make_features
from gnnrec.graph import BipartiteGraph
from gnnrec.model import Recommender
from gnnrec.objectives import Objective, Weighted
from gnnrec.training.sampler import derive_seed
from gnnrec.typed import build


def make_recommender(
    config: RunConfig,
    train: Interactions,
    item_vectors: Vectors | None = None,
    user_vectors: Vectors | None = None,
) -> Recommender:
    """Build the untrained model of a configuration over the graph of `train`; seeded, global state untouched."""
    model, unseen = config.model, None
    if config.init.neighbours and item_vectors is not None:
        seen = train.item_counts() > 0
        unseen = TextNeighbours(item_vectors, seen, config.init.neighbours, config.init.own_weight)
    item_text = None
    if model.needs_text and item_vectors is not None:
        item_text = torch.from_numpy(np.array(as_array(item_vectors, train, "item"), dtype=np.float32))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(config.seed, "weights"))
        recommender = Recommender(
            features=make_features(config.init, train, item_vectors, user_vectors),
            encoder=build(model.encoder, "model.encoder", dim=config.init.dim),
            graph=BipartiteGraph.from_interactions(train).to(config.device),
            augmentations=[build(part, "model.augmentations") for part in model.augmentations],
            score=model.score,
            name=model.name,
            unseen=unseen,
            item_text=item_text,
        )
    return recommender.to(config.device)


def make_objective(
    config: RunConfig,
    recommender: Recommender,
    train: Interactions,
    item_vectors: Vectors | None = None,
    user_vectors: Vectors | None = None,
) -> Objective:
    """Build the objective of a configuration; seeded, global state untouched.

    A term that asks for them is given `dim` (of x), `out_dim` (of the final embeddings), `train` and the vectors. A
    term that is a module has trained parts: the recommender keeps it in `heads`.
    """
    given = {
        "dim": config.init.dim,
        "out_dim": getattr(recommender.encoder, "out_dim", config.init.dim),
        "train": train,
        "item_vectors": item_vectors,
        "user_vectors": user_vectors,
    }
    terms: dict[str, Weighted] = {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(config.seed, "terms"))
        for name, part in config.model.objective.items():
            term = build(part["term"], f"model.objective.{name}", **given)
            terms[name] = Weighted(term, part.get("weight", 1.0))
            for depth, inner in enumerate(chain(term)):
                if isinstance(inner, torch.nn.Module):
                    if hasattr(torch.nn.ModuleDict, name) or "." in name:
                        raise ConfigError(
                            f"a trained term cannot be called '{name}' in 'model.objective': choose another"
                        )
                    head = name + depth * "_"
                    if head in recommender.heads:
                        raise ConfigError(
                            f"two trained terms would be called '{head}': rename one in 'model.objective'"
                        )
                    recommender.heads[head] = inner.to(config.device)
    return Objective(terms)
