"""The state of training as one safetensors file: tensors, and in its header all else as JSON and a checksum."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from gnnrec.checksum import tensor_checksum
from gnnrec.errors import GnnrecError
from gnnrec.files import whole_file


def save_checkpoint(
    path: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    best: Mapping[str, Tensor],
    position: dict[str, Any],
) -> None:
    """Write weights, optimiser state, best weights and the position, whole or not at all."""
    tensors = {f"model.{k}": v for k, v in model.state_dict().items()}
    tensors |= {f"best.{k}": v for k, v in best.items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{k}": v for k, v in state.items()}
    contiguous = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
    text = json.dumps(position)
    metadata = {"position": text, "sha256": tensor_checksum(contiguous, text)}
    with whole_file(path) as temporary:
        save_file(contiguous, temporary, metadata=metadata)


def load_checkpoint(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Put weights and optimiser state back in place; return the best weights and the position.

    Raises a GnnrecError for a file that cannot be read and for one of another model.
    """
    tensors, position = _read(path)
    try:
        model.load_state_dict({k[6:]: v for k, v in tensors.items() if k.startswith("model.")})
    except RuntimeError as error:
        raise GnnrecError(f"checkpoint '{path}' is of another model; delete it to train anew") from error
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("optimizer."):
            _, index, name = key.split(".", 2)
            state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return {k[5:]: v for k, v in tensors.items() if k.startswith("best.")}, position


def read_position(path: Path) -> dict[str, Any]:
    """Return the position of a checkpoint; raises a GnnrecError for a file that cannot be read."""
    return _read(path)[1]


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118 (not a mapping)
            metadata = file.metadata() or {}
        text = metadata["position"]
        found = tensor_checksum(tensors, text)
        if metadata.get("sha256", found) != found:  # files of earlier versions have none
            raise ValueError("its content does not match its checksum")
        return tensors, json.loads(text)
    except (SafetensorError, KeyError, TypeError, ValueError, OSError) as error:
        raise GnnrecError(f"checkpoint '{path}' cannot be read ({error}); delete it to train anew") from error
