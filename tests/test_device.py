"""Everything a run does on an accelerator stays there, and a step makes the host wait no more often than it must."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import torch

from experiments.compose import compose_config
from gnnrec.config import RunConfig
from gnnrec.run import run, validate
from tests.pretend_device import DEVICE, DeviceTensor, pretended_device
from tests.test_presets import SMALL, TRAINED, shrunk

QUICK = {
    "model=gat",
    "model=graphsage-gca",
    "model=lightgcl",
    "model=lightgcn-dns",
    "model=ncl",
    "model=ours",
    "model=pinsage",
    "model=sgl-rw",
    "model=simgcl",
    "model=ultragcn",
    "init=gate",
    "experiment=text_edges",
}


def configured(folder: Path, *overrides: str) -> RunConfig:
    words = ["dataset=folder", f"dataset.name={folder}", *SMALL, *overrides]
    return RunConfig.from_dict(shrunk(compose_config(words)))


@pytest.mark.parametrize(
    "option", [o if o in QUICK else pytest.param(o, marks=pytest.mark.slow) for o in TRAINED]
)
def test_a_preset_gives_the_same_on_another_device(option: str, planted_folder: Path) -> None:
    expected = validate(configured(planted_folder, option))
    config = configured(planted_folder, option, f"device={DEVICE}")
    with pretended_device() as waits:
        found = validate(config)
    assert found == pytest.approx(expected, abs=1e-6, nan_ok=True)
    assert waits or config.model.baseline is not None, "nothing was on the device"


def test_a_whole_run_with_a_refit_stays_on_its_device(planted_folder: Path, tmp_path: Path) -> None:
    words = ["model=lightgcn", "eval.refit=true", "train.eval_every=1", "train.checkpoint_seconds=0"]
    expected = run(configured(planted_folder, *words, f"tracking.root={tmp_path / 'a'}"))
    with pretended_device():
        found = run(configured(planted_folder, *words, f"tracking.root={tmp_path / 'b'}", f"device={DEVICE}"))
    assert found.metrics == pytest.approx(expected.metrics, abs=1e-6, nan_ok=True)


# Waits a step: for the distinct users and the distinct items of the batch (InfoNCE), or its distinct items alone (a
# softmax over them); for the number of train items of the batch's users, and of those that a softmax leaves out.
@pytest.mark.parametrize(
    ("model", "waits"),
    [
        ("mf", 0),
        ("lightgcn", 0),
        ("directau", 0),
        ("simplex", 0),
        ("lightgcn-softmax", 2),
        ("lightgcn-sl", 3),
        ("sgl-ed", 2),
        ("simgcl", 2),
        ("xsimgcl", 2),
    ],
)
def test_how_often_a_step_waits_for_the_device(model: str, waits: int, planted_folder: Path) -> None:
    def count(batch_size: int) -> Counter[tuple[str, str]]:
        words = [f"model={model}", f"device={DEVICE}", f"train.batch_size={batch_size}"]
        with pretended_device() as counted:
            validate(configured(planted_folder, *words))
            return Counter(counted)

    more = count(100) - count(400)  # 8 steps and 2
    assert sum(more.values()) == 6 * waits, more


def test_the_pretended_device_refuses_what_an_accelerator_does() -> None:
    with pretended_device() as waits:
        x = torch.arange(4.0, device=DEVICE)
        assert isinstance(x, DeviceTensor)
        assert x.cpu().tolist() == [0, 1, 2, 3]
        with pytest.raises(RuntimeError, match="same device"):
            torch.add(x, torch.ones(4))
        with pytest.raises(TypeError, match=r"use \.cpu\(\) first"):
            x.numpy()
        with pytest.raises(RuntimeError, match="expected a generator on meta"):
            torch.rand(2, device=DEVICE, generator=torch.Generator())
        assert torch.rand(2, device=DEVICE, generator=torch.Generator(DEVICE)).is_cuda
        waits.clear()
        assert float(x.sum() * 2) == 12
        assert len(x[x > 1]) == 2
        assert sum(waits.values()) == 2
