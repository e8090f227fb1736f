"""Terms that restore what was hidden from the encoder."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gnnrec.encoders.graphmae import GraphMAE
from gnnrec.errors import ConfigError, check_choice, check_range
from gnnrec.objectives.step import Step


@dataclass(frozen=True)
class MaskedReconstruction:
    """Scaled cosine error of the restored features of masked nodes: mean over them of (1 - cos(x_v, z_v))^gamma.

    Hou et al. 2022, GraphMAE, https://arxiv.org/abs/2205.10803, eq. 2. Each node with edges is masked with
    probability p. Needs the encoder gnnrec.encoders.GraphMAE, which restores. Deviation: x is learned here (a table,
    or a projection of text), so that the target lets no gradient through.

    Args:
        p: masking rate. gamma: above 1 it plays down what is easy. side: `items`, `users`, or `both`.
    """

    p: float = 0.5
    gamma: float = 2.0
    side: str = "both"

    def __post_init__(self) -> None:
        check_range("p", self.p, "MaskedReconstruction", low=0, high=1, low_open=True, high_open=True)
        check_range("gamma", self.gamma, "MaskedReconstruction", low=1)
        check_choice("side", self.side, ("both", "users", "items"), "MaskedReconstruction")

    def check_encoder(self, encoder: nn.Module, dim: int) -> None:
        """Raise a ConfigError for an encoder that does not restore."""
        if not isinstance(encoder, GraphMAE):
            raise ConfigError(
                "'MaskedReconstruction' needs model.encoder to be gnnrec.encoders.GraphMAE "
                f"(got '{type(encoder).__name__}')"
            )

    def __call__(self, step: Step) -> Tensor:
        assert isinstance(step.encoder, GraphMAE)
        graph, x = step.view.graph, step.view.x
        drawn = torch.rand(graph.num_nodes, generator=step.generator, device=step.generator.device)
        masked = (drawn.to(x.device) < self.p) & (graph.degree > 0)
        if self.side != "both":
            user, item = graph.split(masked)
            (item if self.side == "users" else user).fill_(False)
        error = scaled_cosine_error(x.detach(), step.encoder.restore(step.view, masked), self.gamma)
        return (error * masked).sum() / masked.sum().clamp(min=1)


def scaled_cosine_error(x: Tensor, restored: Tensor, gamma: float) -> Tensor:
    """Return (1 - cos(x_v, z_v))^gamma of each row: [rows, dim], [rows, dim] -> [rows]."""
    return (1 - F.cosine_similarity(x, restored, dim=1)).clamp(min=0).pow(gamma)
