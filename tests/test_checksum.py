from __future__ import annotations

import torch

from gnnrec.checksum import tensor_checksum


def test_the_checksum_is_of_names_types_shapes_and_bytes() -> None:
    a = torch.arange(6, dtype=torch.float32).reshape(2, 3)
    tensors = {"a": a, "b": torch.zeros(0, 2), "c": torch.tensor(True), "d": a.bfloat16()}
    first = tensor_checksum(tensors, "text")
    assert tensor_checksum(dict(reversed(tensors.items())), "text") == first
    others = [{"e": a}, {"a": a.reshape(3, 2)}, {"a": a.view(torch.int32)}, {"a": a + 1}, {"a": a.flip(0)}]
    assert first not in {tensor_checksum({**tensors, **other}, "text") for other in others}
    assert tensor_checksum(tensors, "other") != first
