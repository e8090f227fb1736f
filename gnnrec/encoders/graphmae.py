"""GraphMAE: an encoder with a decoder that restores masked features."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from gnnrec.encoders.lightgcn import LightGCN
from gnnrec.encoders.states import States
from gnnrec.views import View


class GraphMAE(nn.Module):
    """Encode as the inner encoder does, and restore the features of masked nodes from their neighbourhood.

    Hou et al. 2022, https://arxiv.org/abs/2205.10803, section 3.2: z = W2 P (mask 0 (W1 f(x~))), x~ = x with masked
    rows replaced by a learned token, f the encoder, P = D^-1/2 A D^-1/2; the codes of masked nodes are set to zero
    again before the decoder ("re-mask"; their code has zeros, too, where the paper has a second token). The term
    gnnrec.objectives.MaskedReconstruction masks and compares. The decoder is one graph convolution; theirs is one
    layer of GAT or GIN. It is used in training only.

    Args:
        encoder: any encoder; LightGCN with 2 layers if not given.
    Shapes: x [num_nodes, dim] -> [num_nodes, encoder.out_dim].
    """

    def __init__(self, dim: int, encoder: nn.Module | None = None) -> None:
        super().__init__()
        self.encoder = LightGCN(dim, 2) if encoder is None else encoder
        self.out_dim = int(self.encoder.out_dim)  # type: ignore[arg-type]
        self.num_layers = self.encoder.num_layers
        self.fixed_structure = getattr(self.encoder, "fixed_structure", False)
        self.token = nn.Parameter(torch.zeros(dim))
        self.project = nn.Linear(self.out_dim, dim, bias=False)
        self.decode = nn.Linear(dim, dim)

    def forward(self, view: View, keep_layers: bool = False) -> States:
        """Encode a view as the inner encoder does."""
        return self.encoder(view, keep_layers=keep_layers)

    def restore(self, view: View, masked: Tensor) -> Tensor:
        """Return features predicted with those of masked nodes hidden: masked bool [num_nodes] -> [num_nodes, dim]."""
        hidden = masked.unsqueeze(1)
        code = self.project(self.encoder(replace(view, x=torch.where(hidden, self.token, view.x))).final)
        return self.decode(view.graph.propagate(code.masked_fill(hidden, 0.0)))
