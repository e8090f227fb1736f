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
_ACTIVATIONS = {"Identity": nn.Identity, "Tanh": nn.Tanh, "ReLU": nn.ReLU, "GELU": nn.GELU}


class Normalize(nn.Module):
    """Divide each vector by its length."""

    def forward(self, vectors: Tensor) -> Tensor:
        return F.normalize(vectors, dim=-1)


def load_dense(model: ModelFolder, path: str) -> nn.Module:
    """Return y = activation(W x + b) as the module folder `path` of a model folder says, in float32; or Normalize."""
    if path == NORMALIZE:
        return Normalize()
    folder = model.path / path
    settings = read_json(folder / "config.json", {})
    try:
        tensors = load_file(folder / "model.safetensors")
        weight = tensors["linear.weight"]
    except (OSError, SafetensorError, KeyError) as error:
        raise DataError(
            f"the dense layer '{folder}' of text model '{model.name}' cannot be read: {error}"
        ) from error
    name = str(settings.get("activation_function", "Tanh")).rsplit(".", 1)[-1]
    if name not in _ACTIVATIONS:
        raise ConfigError(
            f"text model '{model.name}' uses the activation {name} after pooling, which is not here; "
            "set text.pooling to leave the model's own modules out"
        )
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias="linear.bias" in tensors)
    layer.load_state_dict({key.removeprefix("linear."): value.float() for key, value in tensors.items()})
    return nn.Sequential(layer, _ACTIVATIONS[name]())
