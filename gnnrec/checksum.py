"""The checksum of named tensors: a flipped bit in a checkpoint shall not train on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor


def tensor_checksum(tensors: Mapping[str, Tensor], text: str = "") -> str:
    """Return a SHA-256 over a text and the names, types, shapes and bytes of tensors on the CPU, in any order."""
    digest = hashlib.sha256(text.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"\n{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
