"""Terms that align the final embeddings with text: contrastive, and by restoring the text of masked nodes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from gnnrec import losses
from gnnrec.data.interactions import Interactions
from gnnrec.encoders.states import encode
from gnnrec.errors import ConfigError, check_choice, check_range
from gnnrec.features import Prepared, Vectors, prepare, profile, side_by_side
from gnnrec.objectives.reconstruction import scaled_cosine_error
from gnnrec.objectives.step import Step, rows
from gnnrec.text.blocks import Block

USERS = ("none", "profile", "text")


class NodeText(nn.Module):
    """Frozen text vectors of all nodes, users first, centred on train and scaled, and which nodes have any.

    Args:
        users: `none`; `profile` the mean of the user's train items; `text` the users' own vectors.
    Buffers: vectors [num_nodes, width], zero where absent; present bool [num_nodes].
    """

    vectors: Tensor
    present: Tensor

    def __init__(
        self, users: str, train: Interactions, item_vectors: Vectors, user_vectors: Vectors | None
    ) -> None:
        super().__init__()
        items = _prepare(item_vectors, train.item_counts(), "item")
        if users == "text":
            own = _prepare(user_vectors, train.user_counts(), "user")
        else:
            own = [profile(train, block) for block in items]
        user_matrix, item_matrix = side_by_side(own), side_by_side(items)
        if user_matrix.shape[1] != item_matrix.shape[1]:
            raise ConfigError(
                "user and item texts must have vectors of one width to be aligned by one projection "
                f"(got {user_matrix.shape[1]} and {item_matrix.shape[1]}); take users=profile"
            )
        user_present = _any_present(own) & (users != "none")
        self.register_buffer("vectors", torch.cat([user_matrix, item_matrix]), persistent=False)
        self.register_buffer("present", torch.cat([user_present, _any_present(items)]), persistent=False)


class TextContrast(nn.Module):
    """InfoNCE between the final embedding and the projected text of the batch's items, and of its users.

    loss = mean_i -log(exp(cos(e_i, f(v_i)) / t) / sum_j exp(cos(e_i, f(v_j)) / t)), summed over the two sides; f is a
    perceptron with one hidden layer of (width + out_dim) / 2 and leaky ReLU, shared by them.
    Ren et al. 2024, RLMRec-Con, https://arxiv.org/abs/2310.15950, contrastive alignment. Deviations: negatives are
    the distinct nodes of the batch (their code: all users, and items of the batch with repeats); sampled negative
    items have no term of their own; texts are centred on train; a node without text is left out.

    Args:
        users: `none`, `profile` (mean text of the user's train items, in place of the paper's generated profiles), or
            `text` (the users' own texts; generated ones as text.user_profiles).
        temperature: divides the cosines.
        out_dim, train, item_vectors, user_vectors: filled in by the run.
    """

    needs_item_text = True

    def __init__(
        self,
        users: str = "profile",
        temperature: float = 0.2,
        out_dim: int = 64,
        train: Interactions | None = None,
        item_vectors: Vectors | None = None,
        user_vectors: Vectors | None = None,
    ) -> None:
        super().__init__()
        check_choice("users", users, USERS, "TextContrast")
        check_range("temperature", temperature, "TextContrast", low=0, low_open=True)
        self.temperature, self.needs_user_text = temperature, users == "text"
        self.text: NodeText | None = None
        if train is not None and item_vectors is not None:
            self.text = NodeText(users, train, item_vectors, user_vectors)
            self.project = _perceptron(self.text.vectors.shape[1], out_dim)

    def forward(self, step: Step) -> Tensor:
        text = _given(self.text, "TextContrast")
        total = step.view.x.new_zeros(())
        for nodes in (torch.unique(step.user), step.train.item_node(torch.unique(step.positive))):
            nodes = nodes[text.present[nodes]]
            if len(nodes):
                projected = self.project(rows(text.vectors, nodes))
                total = total + losses.info_nce(
                    step.final_at(nodes), projected, self.temperature, precision=step.precision
                )
        return total


class TextReconstruction(nn.Module):
    """Restore the text of masked nodes from their neighbourhood: L(f(final embedding), text vector).

    Nodes that have text and train edges are masked with probability p: their row of x becomes a learned token, the view
    is encoded again, and with c_ij = cos(f(e_i), v_j), i and j masked nodes,
    loss=info_nce: mean_i -log(exp(c_ii / t) / sum_j exp(c_ij / t)) (Ren et al. 2024, RLMRec-Gen,
    https://arxiv.org/abs/2310.15950, generative alignment);
    loss=cosine: mean_i (1 - c_ii)^gamma (the scaled cosine error of Hou et al. 2022, GraphMAE,
    https://arxiv.org/abs/2205.10803, eq. 2, on text, for any encoder and without GraphMAE's graph decoder).
    f is a perceptron with one hidden layer of (width + out_dim) / 2 and leaky ReLU. Deviations from RLMRec's code:
    the masked view is a pass of its own, so that ranking sees x whole; an independent draw per node; texts are
    centred on train; a node without text or without train edges is not masked (one whose edges the view drops is, and
    has the token alone to be restored from).

    Args:
        users: see TextContrast. p: masking rate. loss: `info_nce` or `cosine`.
        temperature: of info_nce. gamma: of cosine; above 1 it plays down what is easy.
        max_nodes: at most so many masked nodes are restored: the cost of info_nce is quadratic in it.
        dim, out_dim, train, item_vectors, user_vectors: filled in by the run.
    """

    needs_item_text = True

    def __init__(
        self,
        users: str = "profile",
        p: float = 0.1,
        loss: str = "info_nce",
        temperature: float = 0.2,
        gamma: float = 2.0,
        max_nodes: int = 4096,
        dim: int = 64,
        out_dim: int = 64,
        train: Interactions | None = None,
        item_vectors: Vectors | None = None,
        user_vectors: Vectors | None = None,
    ) -> None:
        super().__init__()
        check_choice("users", users, USERS, "TextReconstruction")
        check_choice("loss", loss, ("info_nce", "cosine"), "TextReconstruction")
        check_range("p", p, "TextReconstruction", low=0, high=1, low_open=True)
        check_range("temperature", temperature, "TextReconstruction", low=0, low_open=True)
        check_range("gamma", gamma, "TextReconstruction", low=1)
        check_range("max_nodes", max_nodes, "TextReconstruction", low=2)
        self.p, self.loss, self.temperature, self.gamma = p, loss, temperature, gamma
        self.max_nodes, self.needs_user_text = max_nodes, users == "text"
        self.text: NodeText | None = None
        if train is not None and item_vectors is not None:
            self.text = NodeText(users, train, item_vectors, user_vectors)
            self.token = nn.Parameter(torch.zeros(dim))
            self.project = _perceptron(out_dim, self.text.vectors.shape[1])

    def forward(self, step: Step) -> Tensor:
        text, view = _given(self.text, "TextReconstruction"), step.view
        may = text.present & (step.train.degree > 0)
        draw = torch.rand(len(may), generator=step.generator, device=step.generator.device).to(may.device)
        masked = may & (draw < self.p)
        nodes = masked.nonzero().squeeze(1)
        if not len(nodes):
            return view.x.new_zeros(())
        if (
            len(nodes) > self.max_nodes
        ):  # draws below p are uniform again, so the least of them are a fair sample
            nodes = nodes[draw[nodes].argsort()[: self.max_nodes]].sort().values
        x = torch.where(masked.unsqueeze(1), self.token, view.x)
        final, _ = encode(step.encoder, replace(view, x=x)).at(nodes)
        restored, target = self.project(final), rows(text.vectors, nodes)
        if self.loss == "cosine":
            return scaled_cosine_error(target, restored, self.gamma).mean()
        return losses.info_nce(restored, target, self.temperature, precision=step.precision)


def _perceptron(width: int, out: int) -> nn.Sequential:
    hidden = (width + out) // 2
    layers = nn.Sequential(nn.Linear(width, hidden), nn.LeakyReLU(), nn.Linear(hidden, out))
    for layer in (layers[0], layers[2]):
        assert isinstance(layer, nn.Linear)
        nn.init.xavier_uniform_(layer.weight)
    return layers


def _given(text: NodeText | None, where: str) -> NodeText:
    if text is None:
        raise ConfigError(
            f"'{where}' needs 'train' and 'item_vectors', which gnnrec.make.make_objective gives it"
        )
    return text


def _prepare(vectors: Vectors | None, counts: np.ndarray, side: str) -> list[Prepared]:
    if isinstance(vectors, np.ndarray):  # a text that is empty has the zero vector
        vectors = [Block("text", vectors, np.asarray((vectors != 0).any(axis=1)))]
    return prepare(vectors, torch.from_numpy(counts > 0), side)


def _any_present(blocks: list[Prepared]) -> Tensor:
    present = [block.present for block in blocks if isinstance(block.values, Tensor)]
    return torch.stack([one for one in present if one is not None]).any(dim=0)
