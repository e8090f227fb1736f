"""Rows of length one, for cosines that are trained through."""

from __future__ import annotations

import torch
from torch import Tensor


def unit(x: Tensor) -> Tensor:
    """Return each row divided by its length, x / ||x||; a row of zeros stays one, and its gradient passes as it is.

    torch's `normalize` is the same but there: it divides that gradient by 1e-12, and a row that starts at zero (the id
    of an item without text under combine=residual, a learned token) is left with a second moment in Adam that holds
    it in place for thousands of steps.

    Shapes: [..., dim] -> [..., dim].
    """
    length = x.norm(dim=-1, keepdim=True)
    return x / torch.where(length > 1e-12, length, 1)
