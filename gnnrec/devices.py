"""Which torch device is used."""

from __future__ import annotations

import torch

from gnnrec.errors import ConfigError


def resolve_device(device: str, key: str = "device") -> str:
    """Return the name of a device that tensors can be put on; `auto` is CUDA where there is one, else the processor.

    Errors: ConfigError that names the configuration's key.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(
            f"{key}={device} cannot be used ({reason}): use {key}=auto, which takes what there is"
        ) from error
    return device
