"""The Dense and Normalize modules that some sentence-transformers models put after pooling."""

from __future__ import annotations

from collections.abc import Sequence

import torch
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


def load_dense(model: ModelFolder, paths: Sequence[str], width: int | None) -> nn.Sequential:
    """Return the dense layers in the module folders `paths`, in float32, and Normalize where a path says so.

    width: of the pooled vectors, None where the model does not say. Weights that do not fit it, or each other, are
    a DataError.
    """
    layers = nn.Sequential()
    for path in paths:
        layer = Normalize() if path == NORMALIZE else _load(model, path)
        if isinstance(layer, Dense):
            if width not in (None, layer.linear.in_features):
                raise DataError(
                    f"the dense layer '{model.path / path}' of text model '{model.name}' must take vectors of width "
                    f"{width} (got weights for {layer.linear.in_features}): it belongs to another model"
                )
            width = layer.linear.out_features
        layers.append(layer)
    return layers


def _load(model: ModelFolder, path: str) -> Dense:
    folder = model.path / path
    settings = read_json(folder / "config.json", {})
    try:
        tensors = load_file(folder / "model.safetensors")
        linear = _linear(tensors, "linear")
        residual = None
        if settings.get("use_residual", False):
            same = linear.in_features == linear.out_features
            residual = nn.Identity() if same else _linear(tensors, "residual", linear.weight.shape)
    except (OSError, SafetensorError, KeyError, ValueError) as error:
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


def _linear(tensors: dict[str, Tensor], name: str, shape: torch.Size | None = None) -> nn.Linear:
    weight, bias = tensors[f"{name}.weight"], tensors.get(f"{name}.bias")
    fits = weight.ndim == 2 and shape in (None, weight.shape)
    if not fits or (bias is not None and bias.shape != weight.shape[:1]):
        got = f"got {list(weight.shape)}" + ("" if bias is None else f" and bias {list(bias.shape)}")
        wanted = "[out, in]" if shape is None else list(shape)
        raise ValueError(f"'{name}' must have a weight {wanted} and a bias [out] or none, {got}")
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    layer.load_state_dict({"weight": weight.float()} | ({} if bias is None else {"bias": bias.float()}))
    return layer
