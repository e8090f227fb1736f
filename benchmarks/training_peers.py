"""Training steps of other tools: their own model, loss and step on our train pairs; nothing of theirs is kept here.

Each function returns a call that trains some steps on a device and returns the seconds per step, of a clock that waits
for the device and of the processors. What a tool does once per epoch is left out of the clock, which favours it:
LightGCN-PyTorch's sampling, the permutations of PyG and RecBole, SELFRec's shuffle and its two dropped graphs. In
benchmarks/training.py each contestant has a process of its own; in benchmarks/gpu.py all share one, and with it what is
patched here.
"""

from __future__ import annotations

import importlib
import itertools
import os
import sys
import tempfile
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import scipy.sparse as sp
import torch
from torch_geometric.nn.models import LightGCN as PyGLightGCN
from torch_geometric.utils import to_torch_csr_tensor

from benchmarks.foreign import adjacency, prepare_recbole, quiet
from benchmarks.machine import clock
from gnnrec.data.interactions import Interactions
from gnnrec.graph import BipartiteGraph
from gnnrec.objectives.sampling import NegativeSampler
from gnnrec.training.sampler import PairSampler

DIM, LAYERS, BATCH, LR = 64, 3, 2048, 1e-3
SELFREC = {
    "SGL": {"n_layer": LAYERS, "lambda": 0.1, "drop_rate": 0.1, "aug_type": 1, "temp": 0.2},
    "SimGCL": {"n_layer": LAYERS, "lambda": 0.5, "eps": 0.1},
    "XSimGCL": {"n_layer": LAYERS, "lambda": 0.2, "eps": 0.2, "l_star": 1, "tau": 0.15},
    "LightGCN": {"n_layer": LAYERS},
}

Call = Callable[[int], np.ndarray]


def pyg(train: Interactions, device: str, sparse: bool) -> Call:
    """PyG: its LightGCN and `recommendation_loss`, as in its example, with Adam at its defaults; our sampler."""
    torch.manual_seed(0)
    graph = BipartiteGraph.from_interactions(train).to(device)
    size = graph.num_nodes
    edges = to_torch_csr_tensor(graph.edge_index, size=(size, size)) if sparse else graph.edge_index
    model = PyGLightGCN(size, DIM, LAYERS).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=LR)
    pairs, negatives = PairSampler(graph, BATCH), NegativeSampler(graph)
    generator = torch.Generator(device).manual_seed(0)

    def call(steps: int) -> np.ndarray:
        batches = itertools.cycle(pairs.epoch(generator))
        first = next(batches)  # draws the permutation
        began = clock(device)
        for user, positive in itertools.islice(itertools.chain([first], batches), steps):
            negative = negatives.sample(user, 1, generator).squeeze(1)
            labels = torch.stack([torch.cat([user, user]), graph.item_node(torch.cat([positive, negative]))])
            optimizer.zero_grad()
            positive_rank, negative_rank = model(edges, labels).chunk(2)
            nodes = torch.cat([user, graph.item_node(positive), graph.item_node(negative)])
            loss = model.recommendation_loss(positive_rank, negative_rank, node_id=nodes, lambda_reg=1e-4)
            loss.backward()
            optimizer.step()
        return (clock(device) - began) / steps

    return call


def lightgcn_pytorch(path: Path, train: Interactions, device: str) -> Call:
    """LightGCN-PyTorch: its LightGCN and BPRLoss.stageOne; triples are drawn before the clock starts.

    It takes a GPU where torch says that there is one: while it is imported, torch says so for a GPU as `device`.
    """
    take_device(device)
    sys.path.insert(0, str(path / "code"))
    arguments, sys.argv = (
        sys.argv,
        ["main.py", f"--bpr_batch={BATCH}", f"--recdim={DIM}", f"--layer={LAYERS}", "--tensorboard=0"],
    )
    with quiet(), mock.patch("torch.cuda.is_available", return_value=device.startswith("cuda")):
        utils = importlib.import_module("utils")
        model_file = importlib.import_module("model")
    sys.argv = arguments
    known = np.split(train.csr().indices, train.csr().indptr[1:-1])
    graph = adjacency(train.csr())
    data = types.SimpleNamespace(
        n_users=train.num_users,
        m_items=train.num_items,
        allPos=known,
        trainDataSize=BATCH,
        getSparseGraph=lambda: graph,
    )
    with quiet():
        model = model_file.LightGCN(utils.world.config, data).to(utils.world.device)
        loss = utils.BPRLoss(model, utils.world.config)

    def call(steps: int) -> np.ndarray:
        data.trainDataSize = BATCH * steps
        drawn = torch.from_numpy(utils.UniformSample_original_python(data)).long().to(utils.world.device)
        batches = list(zip(*(column.split(BATCH) for column in drawn.T)))
        began = clock(device)
        for user, positive, negative in batches:
            loss.stageOne(user, positive, negative)
        return (clock(device) - began) / len(batches)

    return call


def recbole(path: Path, train: Interactions, device: str) -> Call:
    """RecBole: its LightGCN, its Sampler for each batch, and the statements of its Trainer's inner loop.

    Its package is imported in parts (see prepare_recbole). Patched at run time: `dok_matrix._update`, which newer
    scipy lacks.
    """
    prepare_recbole(path, "model", "model.general_recommender", "sampler")
    if not hasattr(sp.dok_matrix, "_update"):
        sp.dok_matrix._update = lambda self, values: self._dict.update(values)  # pyright: ignore[reportAttributeAccessIssue]
    lightgcn = importlib.import_module("recbole.model.general_recommender.lightgcn")
    sampler_file = importlib.import_module("recbole.sampler.sampler")
    # Its ids start at 1; row 0 is padding.
    user, item = torch.from_numpy(train.user).long() + 1, torch.from_numpy(train.item).long() + 1
    sizes = {"user_id": train.num_users + 1, "item_id": train.num_items + 1}
    matrix = sp.coo_matrix(
        (np.ones(len(train)), (user.numpy(), item.numpy())), shape=(sizes["user_id"], sizes["item_id"])
    )
    data = types.SimpleNamespace(
        num=sizes.__getitem__,
        inter_matrix=lambda form: matrix,
        inter_feat={"user_id": user, "item_id": item},
        uid_field="user_id",
        iid_field="item_id",
        user_num=sizes["user_id"],
        item_num=sizes["item_id"],
    )
    config: dict[str, Any] = {"USER_ID_FIELD": "user_id", "ITEM_ID_FIELD": "item_id", "NEG_PREFIX": "neg_"}
    config |= {
        "device": torch.device(device),
        "embedding_size": DIM,
        "n_layers": LAYERS,
        "reg_weight": 1e-5,
        "require_pow": False,
    }
    model = lightgcn.LightGCN(config, data).to(device)
    sampler = sampler_file.Sampler(["train"], [data]).set_phase("train")
    optimizer = torch.optim.Adam(model.parameters(), lr=LR)

    def call(steps: int) -> np.ndarray:
        order = torch.randperm(len(train))[: BATCH * steps].split(BATCH)
        total, began = 0.0, clock(device)
        for batch in order:
            one, positive = user[batch], item[batch]
            negative = sampler.sample_by_user_ids(one.numpy(), positive.numpy(), 1)
            columns = {"user_id": one, "item_id": positive, "neg_item_id": negative}
            optimizer.zero_grad()
            loss = model.calculate_loss({name: column.to(device) for name, column in columns.items()})
            total += loss.item()
            if torch.isnan(loss):
                raise ValueError("Training loss is nan")
            loss.backward()
            optimizer.step()
        return (clock(device) - began) / len(order)

    return call


def selfrec(path: Path, name: str, train: Interactions, device: str) -> Call:
    """SELFRec: the train() of its SGL, SimGCL, XSimGCL or LightGCN, cut after some batches of its own sampler.

    Patched at run time: `.cuda()` does nothing where `device` is no GPU, and its evaluation after an epoch is left out.
    The clock starts when the first batch is ready.
    """
    take_device(device)
    sys.path.insert(0, str(path))
    module = importlib.import_module(f"model.graph.{name}")
    options: dict[str, Any] = {
        "model": {"name": name, "type": "graph"},
        "item.ranking.topN": [20],
        "embedding.size": DIM,
        "max.epoch": 1,
        "batch.size": BATCH,
        "learning.rate": LR,
        "reg.lambda": 1e-4,
        "output": "./results/",
        name: SELFREC[name],
    }
    pairs = [[str(u), str(i), 1.0] for u, i in zip(train.user.tolist(), train.item.tolist())]
    home = os.getcwd()
    with tempfile.TemporaryDirectory() as folder, quiet():
        os.chdir(folder)  # it writes ./log/
        tool = getattr(module, name)(options, pairs, [])
        os.chdir(home)
    tool.fast_evaluation = lambda epoch: tool.save()
    tool.bestPerformance = [0, {}]
    next_batch = module.next_batch_pairwise
    told: dict[str, Any] = {"steps": 1, "seconds": np.zeros(2)}

    def limited(data: Any, batch_size: int, *more: Any) -> Iterator[Any]:
        batches = next_batch(data, batch_size, *more)
        first = next(batches)
        began = clock(device)
        yield from itertools.islice(itertools.chain([first], batches), told["steps"])
        told["seconds"] = clock(device) - began

    vars(module)["next_batch_pairwise"] = limited
    tool.save()

    def call(steps: int) -> np.ndarray:
        told["steps"] = steps
        with quiet():
            tool.train()
        return told["seconds"] / steps

    return call


def take_device(device: str) -> None:
    """Have tools that ask for any GPU take this one; where it is none, `.cuda()` does nothing in this process."""
    if device.startswith("cuda"):
        torch.cuda.set_device(torch.device(device).index or 0)
    else:
        torch.Tensor.cuda = lambda self, *_, **__: self
        torch.nn.Module.cuda = lambda self, *_, **__: self
