"""A small view for the encoders that are compared with PyG's."""

from __future__ import annotations

import torch

from gnnrec.graph import BipartiteGraph
from gnnrec.views import View

NUM_USERS, NUM_ITEMS, DIM = 12, 9, 8
ALONE = [NUM_USERS - 1, NUM_USERS + NUM_ITEMS - 1]  # the last user and the last item have no edges


def make_view() -> View:
    generator = torch.Generator().manual_seed(0)
    keys = torch.randperm((NUM_USERS - 1) * (NUM_ITEMS - 1), generator=generator)[:44]
    user, item = keys // (NUM_ITEMS - 1), keys % (NUM_ITEMS - 1)
    graph = BipartiteGraph.from_edges(user, item, NUM_USERS, NUM_ITEMS)
    x = torch.randn(NUM_USERS + NUM_ITEMS, DIM, generator=generator, requires_grad=True)
    return View(x, graph)
