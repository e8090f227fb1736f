"""The Dense and Normalize modules that some sentence-transformers models put after pooling."""

from __future__ import annotations

import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from gnnrec.errors import ConfigError, DataError
from gnnrec.text.models import ModelFolder, read_json

# Stands in Settings.dense where vectors are made of length one before a Dense; no module's path begins like this.
NORMALIZE = "/normalize"
_POOLED = "sentence_embedding"
_LEAVE_OUT = "set text.pooling to leave the model's own modules out"
_ACTIVATIONS = {"Identity": nn.Identity, "Tanh": nn.Tanh, "ReLU": nn.ReLU, "GELU": nn.GELU}


class Normalize(nn.Module):
    """Divide each vector by its length."""

    def forward(self, vectors: Tensor) -> Tensor:
        return F.normalize(vectors, dim=-1)


class Dense(nn.Module):
    """y = activation(W x + b), plus x, or R x where the widths differ, in a residual one."""

    def __init__(self, linear: nn.Linear, activation: nn.Module, residual: nn.Module | None) -> None:
        super().__init__()
        self.linear, self.activation, self.residual = linear, activation, residual

    def forward(self, x: Tensor) -> Tensor:
        y = self.activation(self.linear(x))
        return y if self.residual is None else y + self.residual(x)


def load_dense(model: ModelFolder, path: str) -> nn.Module:
    """Return the dense layer in the module folder `path` of a model folder, in float32; or Normalize."""
    if path == NORMALIZE:
        return Normalize()
    folder = model.path / path
    settings = read_json(folder / "config.json", {})
    try:
        tensors = load_file(folder / "model.safetensors")
        linear = _linear(tensors, "linear")
        residual = None
        if settings.get("use_residual", False):
            same = linear.in_features == linear.out_features
            residual = nn.Identity() if same else _linear(tensors, "residual")
    except (OSError, SafetensorError, KeyError) as error:
        raise DataError(
            f"the dense layer '{folder}' of text model '{model.name}' cannot be read: {error}"
        ) from error
    name = str(settings.get("activation_function", "Tanh")).rsplit(".", 1)[-1]
    if name not in _ACTIVATIONS:
        raise ConfigError(
            f"text model '{model.name}' uses the activation {name} after pooling, which is not here; {_LEAVE_OUT}"
        )
    if settings.get("module_input_name", _POOLED) != _POOLED:
        raise ConfigError(
            f"text model '{model.name}' has a dense layer of '{settings['module_input_name']}', not of the pooled "
            f"vector, which is not here; {_LEAVE_OUT}"
        )
    return Dense(linear, _ACTIVATIONS[name](), residual)


def _linear(tensors: dict[str, Tensor], name: str) -> nn.Linear:
    weight, bias = tensors[f"{name}.weight"], tensors.get(f"{name}.bias")
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    layer.load_state_dict({"weight": weight.float()} | ({} if bias is None else {"bias": bias.float()}))
    return layer
