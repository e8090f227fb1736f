"""The state of an adaptation on disk: tensors and JSON in one safetensors file, never a pickle."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from gnnrec.checksum import tensor_checksum
from gnnrec.errors import DataError
from gnnrec.files import whole_file


@dataclass
class AdaptState:
    """Where an adaptation is: steps done, lowest held-out loss and its step, all losses, processor seconds."""

    fingerprint: str
    step: int = 0
    best: float = float("inf")
    best_step: int = 0
    losses: list[dict[str, float]] = field(default_factory=list)
    cpu_seconds: float = 0.0


def save_state(
    path: Path,
    progress: AdaptState,
    weights: dict[str, nn.Parameter],
    best: dict[str, Tensor],
    optimizer: torch.optim.Optimizer,
) -> None:
    """Write trained weights, best weights, optimiser moments and progress, whole or not at all."""
    tensors = {f"now.{name}": value.detach() for name, value in weights.items()}
    tensors.update({f"best.{name}": value for name, value in best.items()})
    for name, value in weights.items():
        for key, moment in optimizer.state.get(value, {}).items():
            tensors[f"{key}.{name}"] = moment
    tensors = {name: value.cpu().contiguous() for name, value in tensors.items()}
    text = json.dumps(asdict(progress))
    with whole_file(path) as temporary:
        save_file(tensors, temporary, metadata={"progress": text, "checksum": tensor_checksum(tensors, text)})


def load_state(
    path: Path, fingerprint: str, weights: dict[str, nn.Parameter], optimizer: torch.optim.Optimizer
) -> tuple[AdaptState, dict[str, Tensor]]:
    """Put a saved state back into the weights and the optimiser; return the progress and the best weights."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        if "checksum" not in metadata:
            raise ValueError("it has no checksum")
        if metadata["checksum"] != tensor_checksum(tensors, metadata["progress"]):
            raise ValueError("its content does not match its checksum")
        progress = AdaptState(**json.loads(metadata["progress"]))
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"the checkpoint '{path}' is damaged ({error}): delete it to begin again") from error
    if progress.fingerprint != fingerprint:
        raise DataError(f"the checkpoint '{path}' is of other texts or settings: delete it to begin again")
    with torch.no_grad():
        for name, value in weights.items():
            value.copy_(tensors[f"now.{name}"])
            keys = [key for key in ("step", "exp_avg", "exp_avg_sq") if f"{key}.{name}" in tensors]
            if keys:
                # Fused AdamW wants its moments, the step too, where the weights are.
                optimizer.state[value] = {key: tensors[f"{key}.{name}"].to(value.device) for key in keys}
    return progress, {name: tensors[f"best.{name}"] for name in weights if f"best.{name}" in tensors}
