"""Checkpoints of an adaptation: what is read is what was written, or an error."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from gnnrec.errors import DataError
from gnnrec.text.adapt_state import AdaptState, load_state, save_state
from tests.pretend_device import DEVICE, pretended_device


def begun(device: str | torch.device = "cpu") -> tuple[dict[str, torch.nn.Parameter], torch.optim.Optimizer]:
    torch.manual_seed(0)
    layer = torch.nn.Linear(2, 1).to(device)
    optimizer = torch.optim.AdamW(layer.parameters(), fused=True)
    layer(torch.ones(1, 2, device=device)).sum().backward()
    optimizer.step()
    return dict(layer.named_parameters()), optimizer


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    weights, optimizer = begun()
    best = {name: value.detach() + 1 for name, value in weights.items()}
    save_state(tmp_path / "c.safetensors", AdaptState("f", step=3, best=0.5), weights, best, optimizer)
    return tmp_path / "c.safetensors"


def test_what_is_read_is_what_was_written(checkpoint: Path):
    weights, optimizer = begun()
    before = {name: value.detach().clone() for name, value in weights.items()}
    with torch.no_grad():
        for value in weights.values():
            value.zero_()
    progress, best = load_state(checkpoint, "f", weights, optimizer)
    assert (progress.step, progress.best) == (3, 0.5)
    for name, value in before.items():
        assert torch.equal(weights[name], value)
        assert torch.equal(best[name], value + 1)
    with pytest.raises(DataError, match="is of other texts or settings"):
        load_state(checkpoint, "g", weights, optimizer)


def test_the_optimiser_goes_on_where_the_weights_are(checkpoint: Path):
    with pretended_device():
        weights, optimizer = begun(DEVICE)
        load_state(checkpoint, "f", weights, optimizer)
        assert all(moment.device == DEVICE for moment in optimizer.state[weights["weight"]].values())
        optimizer.step()
        found = weights["weight"].detach().cpu()
    expected, optimizer = begun()
    load_state(checkpoint, "f", expected, optimizer)
    optimizer.step()
    assert torch.equal(found, expected["weight"])


def test_any_flipped_bit_is_one_clear_error(checkpoint: Path):
    weights, optimizer = begun()
    content = checkpoint.read_bytes()
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        checkpoint.write_bytes(damaged)
        with pytest.raises(
            DataError, match=r"^the checkpoint .* is damaged \(.*\): delete it to begin again$"
        ):
            load_state(checkpoint, "f", weights, optimizer)


def test_a_checkpoint_without_a_checksum_is_not_taken(checkpoint: Path):
    with safe_open(checkpoint, framework="pt") as file:
        progress = file.metadata()["progress"]
    save_file(load_file(checkpoint), checkpoint, metadata={"progress": progress})
    with pytest.raises(DataError, match=r"is damaged \(it has no checksum\): delete it to begin again"):
        load_state(checkpoint, "f", *begun())
