"""From token states to one vector per text."""

from __future__ import annotations

import torch
from torch import Tensor


def pool(states: Tensor, mask: Tensor, how: str) -> Tensor:
    """Return one float32 vector per text from the states of its tokens.

    'mean' averages the states where `mask` is 1, 'cls' takes the first of them, 'last' and 'eos' the last
    (for 'eos' the encoder has put the end-of-sequence token there). Padding may stand on either side.

    Shapes: states [b, t, d], mask [b, t] -> [b, d].
    """
    if how == "mean":
        weight = mask.to(torch.float32).unsqueeze(1)
        return torch.bmm(weight, states.float()).squeeze(1) / weight.sum(dim=2).clamp(min=1)
    position = torch.arange(mask.shape[1], device=mask.device)
    if how == "cls":
        index = torch.where(mask.bool(), position, mask.shape[1] - 1).amin(dim=1)
    else:
        index = torch.where(mask.bool(), position, 0).amax(dim=1)
    return states[torch.arange(len(states), device=states.device), index].float()
