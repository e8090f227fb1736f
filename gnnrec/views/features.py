"""Augmentations of node features and of layers."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gnnrec.errors import check_choice, check_range
from gnnrec.views.view import View, draw, draw_bytes, skewed


@dataclass(frozen=True)
class FeatureMasking:
    """Set features to zero with probability p.

    `columns`: the same feature dimensions for all nodes (Zhu et al. 2020, GRACE, https://arxiv.org/abs/2006.04131,
    section 3.2.1); `rows`: all features of a node; `elements`: each entry by itself. `rescale` divides what is kept
    by 1 - p, as dropout does; GRACE does not.
    """

    p: float = 0.1
    mode: str = "columns"
    rescale: bool = False

    def __post_init__(self) -> None:
        check_range("p", self.p, "FeatureMasking", low=0, high=1, high_open=True)
        check_choice("mode", self.mode, ("columns", "rows", "elements"), "FeatureMasking")

    def __call__(self, view: View, generator: torch.Generator) -> View:
        x = view.x
        shape = {"columns": (1, x.shape[1]), "rows": (x.shape[0], 1), "elements": tuple(x.shape)}[self.mode]
        keep = draw(shape, x, generator) >= self.p
        scale = 1 / (1 - self.p) if self.rescale else 1.0
        return replace(view, x=x * (keep * scale))


@dataclass(frozen=True)
class ImportanceMasking:
    """Set feature columns to zero, more often those that central nodes use little.

    p_f = min(p (max s - s_f) / (max s - mean s), p_max), s_f = log sum_v |x_vf| degree(v).
    Zhu et al. 2021, GCA, https://arxiv.org/abs/2010.14945, eq. 6 and 7 for dense features and degree centrality. No
    gradient goes through the importance.
    """

    p: float = 0.1
    p_max: float = 0.7

    def __post_init__(self) -> None:
        check_range("p", self.p, "ImportanceMasking", low=0, high=1, high_open=True)
        check_range("p_max", self.p_max, "ImportanceMasking", low=0, high=1, high_open=True)

    def __call__(self, view: View, generator: torch.Generator) -> View:
        keep = draw((view.x.shape[1],), view.x, generator) >= self.probability(view)
        return replace(view, x=view.x * keep)

    def probability(self, view: View) -> Tensor:
        """Return p_f of every feature column: [dim]."""
        used = view.graph.degree @ view.x.detach().abs()
        return skewed(-used.clamp(min=1e-12).log(), self.p, self.p_max)


@dataclass(frozen=True)
class LayerNoise:
    """Add noise of length `magnitude` to every layer: e' = e + sign(e) * magnitude * u / ||u||, u ~ U(0, 1)^dim.

    Yu et al. 2022, SimGCL, https://arxiv.org/abs/2112.08679, eq. 7 and 8. Deviation: u has 256 levels, which takes an
    eighth of the random words.
    """

    magnitude: float = 0.1

    def __post_init__(self) -> None:
        check_range("magnitude", self.magnitude, "LayerNoise", low=0)

    def __call__(self, view: View, generator: torch.Generator) -> View:
        def perturb(state: Tensor, layer: int) -> Tensor:
            noise = draw_bytes(tuple(state.shape), state, generator)
            length = torch.linalg.vector_norm(noise, dim=-1, keepdim=True)
            noise.mul_(self.magnitude / length.clamp(min=1e-12))
            return torch.addcmul(state, state.detach().sign(), noise.to(state.dtype))

        return replace(view, perturb=perturb)
