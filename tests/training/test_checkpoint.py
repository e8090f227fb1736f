"""A run stopped anywhere goes on to the same bits; a checkpoint that cannot be read, or is not its own, is told."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from gnnrec.errors import GnnrecError
from gnnrec.model import Recommender
from gnnrec.training.checkpoint import load_checkpoint, read_position, save_checkpoint
from gnnrec.training.sampler import PairSampler
from tests.training.helpers import CONFIG, equal, train, weights, without_seconds


@pytest.mark.parametrize(("stop", "schedule"), [(1, "constant"), (2, "cosine"), (3, "constant")])
def test_a_run_stopped_and_resumed_is_one_never_interrupted(
    setting: Any, tmp_path: Path, stop: int, schedule: str
) -> None:
    config = replace(CONFIG, eval_every=2, schedule=schedule)
    whole, expected = train(setting, config)
    checkpoint, reported = tmp_path / "checkpoint.safetensors", []

    def interrupt(row: dict[str, float]) -> None:
        reported.append(row)
        if len(reported) == stop:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(setting, config, checkpoint=checkpoint, on_row=interrupt)
    # the row that was reported when the run was stopped is not in the checkpoint yet: it is made again
    if stop > 1:
        assert len(read_position(checkpoint)["rows"]) == stop - 1
    resumed, history = train(setting, config, checkpoint=checkpoint, on_row=reported.append)
    assert equal(weights(whole), weights(resumed))
    assert without_seconds(history) == without_seconds(expected)
    assert (history.best_epoch, history.best_value) == (expected.best_epoch, expected.best_value)
    assert [row["epoch"] for row in reported] == [2, 4, 6][:stop] + [2, 4, 6][stop - 1 :]


def test_a_run_killed_between_evaluations_loses_no_whole_epoch(setting: Any, tmp_path: Path) -> None:
    config = replace(CONFIG, eval_every=3)
    whole, expected = train(setting, config)
    checkpoint = tmp_path / "checkpoint.safetensors"

    epoch = PairSampler.epoch

    def killed(pairs: PairSampler, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        if checkpoint.exists() and read_position(checkpoint)["epoch"] == 2:
            raise KeyboardInterrupt
        return epoch(pairs, generator)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PairSampler, "epoch", killed)
        with pytest.raises(KeyboardInterrupt):
            train(setting, config, checkpoint=checkpoint)
    assert read_position(checkpoint)["rows"] == []
    resumed, history = train(setting, config, checkpoint=checkpoint)
    assert equal(weights(whole), weights(resumed))
    assert without_seconds(history) == without_seconds(expected)


def test_a_resumed_run_that_was_over_stays_as_it_was(setting: Any, tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint.safetensors"
    done, history = train(setting, checkpoint=checkpoint)
    again, same = train(setting, checkpoint=checkpoint, on_row=lambda row: pytest.fail("trained again"))
    assert equal(weights(done), weights(again))
    assert same == history


def make_optimizer(model: Recommender) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters(), lr=0.1, fused=True)


def test_a_checkpoint_brings_everything_back(plain_model: Callable[[], Recommender], tmp_path: Path) -> None:
    path, model = tmp_path / "c.safetensors", plain_model()
    optimizer = make_optimizer(model)
    for _ in range(3):
        optimizer.zero_grad()
        model.view().x.square().sum().backward()
        optimizer.step()
    best = {name: value + 1 for name, value in weights(model).items()}
    position = {"rows": [{"epoch": 3, "loss": 0.1}], "best_epoch": 3, "best_value": -math.inf}
    save_checkpoint(path, model, optimizer, best, position)
    other = plain_model()
    restored = make_optimizer(other)
    loaded_best, loaded_position = load_checkpoint(path, other, restored)
    assert equal(weights(other), weights(model))
    assert equal(loaded_best, best)
    assert loaded_position == position == read_position(path)
    for one, two in zip(optimizer.state.values(), restored.state.values(), strict=True):
        assert equal(one, two)
    for step in (optimizer, restored):
        step.step()


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"\x08\0\0\0\0\0\0\0{}      "])
def test_a_broken_checkpoint_is_told(setting: Any, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(content)
    with pytest.raises(GnnrecError, match=r"cannot be read .*delete it to train anew"):
        train(setting, checkpoint=path)


@pytest.mark.parametrize("part", [b"exp_avg_sq", b"optimizer.0.", b"best_value", b"rows", b"tensor"])
def test_a_flipped_bit_in_a_checkpoint_is_told(
    plain_model: Callable[[], Recommender], tmp_path: Path, part: bytes
) -> None:
    path, model = tmp_path / "c.safetensors", plain_model()
    optimizer = make_optimizer(model)
    model.view().x.square().sum().backward()
    optimizer.step()
    save_checkpoint(path, model, optimizer, {}, {"rows": [], "best_epoch": 0, "best_value": 0.0})
    content = bytearray(path.read_bytes())
    content[-1 if part == b"tensor" else content.index(part) + len(part) - 1] ^= 1
    path.write_bytes(content)
    for read in (lambda: load_checkpoint(path, model, optimizer), lambda: read_position(path)):
        with pytest.raises(GnnrecError, match=r"cannot be read .*delete it to train anew"):
            read()


def test_a_checkpoint_of_another_model_is_told(
    setting: Any, plain_model: Callable[[], Recommender], tmp_path: Path
) -> None:
    path, model = tmp_path / "checkpoint.safetensors", plain_model()
    save_checkpoint(path, model, make_optimizer(model), {}, {"rows": [], "best_epoch": 0, "best_value": 0.0})
    with pytest.raises(GnnrecError, match=r"another model.*delete it to train anew"):
        train(setting, checkpoint=path)


def test_a_checkpoint_of_another_version_is_told(
    setting: Any, plain_model: Callable[[], Recommender], tmp_path: Path
) -> None:
    path, model = tmp_path / "checkpoint.safetensors", setting.model()
    save_checkpoint(path, model, make_optimizer(model), {}, {"rows": [], "best_epoch": 0, "best_value": 0.0})
    with pytest.raises(GnnrecError, match=r"another version.*delete it to train anew"):
        train(setting, checkpoint=path)


def test_a_checkpoint_on_the_way_to_another_last_epoch_is_begun_anew(
    setting: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A refit that was killed, and whose number of epochs is another one when it is taken up again."""
    checkpoint = tmp_path / "refit.safetensors"
    config = replace(CONFIG, eval_every=0)
    train(setting, config, checkpoint=checkpoint, last_epoch=5)
    assert (read_position(checkpoint)["epoch"], read_position(checkpoint)["last_epoch"]) == (5, 5)
    expected, _ = train(setting, config, last_epoch=2)
    resumed, history = train(setting, config, checkpoint=checkpoint, last_epoch=2)
    assert equal(weights(expected), weights(resumed))
    assert [row["epoch"] for row in history.rows] == [1, 2]
    assert "refit.safetensors' is of a training to epoch 5, not 2: trained anew" in caplog.text
