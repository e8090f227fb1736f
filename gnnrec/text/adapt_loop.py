"""The training loop of domain adaptation."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from gnnrec.errors import DataError
from gnnrec.progress import Progress
from gnnrec.text.adapt_config import AdaptConfig, learning_rate
from gnnrec.text.adapt_objectives import DrawLoss
from gnnrec.text.adapt_state import AdaptState, load_state, save_state
from gnnrec.text.precision import has_bfloat16

log = logging.getLogger(__name__)
_HELD_OUT_DRAW = 2


def train_weights(
    network: nn.Module,
    draw: DrawLoss,
    held_out: DrawLoss,
    config: AdaptConfig,
    fingerprint: str,
    checkpoint: Path,
) -> AdaptState:
    """Run the steps, keep the state of the lowest held-out loss, and leave the network in it."""
    network.train()
    weights = {name: value for name, value in network.named_parameters() if value.requires_grad}
    decayed = [value for value in weights.values() if value.ndim > 1]
    plain = [value for value in weights.values() if value.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": config.weight_decay}]
    groups += [{"params": plain, "weight_decay": 0.0}] if plain else []
    optimizer = torch.optim.AdamW(groups, lr=config.lr, fused=True)
    progress, best = AdaptState(fingerprint), {}
    if checkpoint.exists():
        progress, best = load_state(checkpoint, fingerprint, weights, optimizer)
        log.info("taken up at step %d of %d from '%s'", progress.step, config.steps, checkpoint)
    else:
        _evaluate(network, held_out, config, progress, weights, best)
    began = time.process_time() - progress.cpu_seconds
    with Progress(total=config.steps, initial=progress.step, name="adapting", unit="step") as bar:
        while progress.step < config.steps:
            loss = _step(network, draw, optimizer, config, progress.step)
            progress.step += 1
            progress.cpu_seconds = time.process_time() - began
            bar.note(f"loss {loss:.3f}, held out {progress.best:.3f}")
            bar.update()
            if progress.step % config.evaluate_every == 0 or progress.step == config.steps:
                _evaluate(network, held_out, config, progress, weights, best, loss)
            if progress.step % config.checkpoint_every == 0 and progress.step < config.steps:
                save_state(checkpoint, progress, weights, best, optimizer)
    with torch.no_grad():
        for name, value in best.items():
            weights[name].copy_(value)
    return progress


def _step(
    network: nn.Module, draw: DrawLoss, optimizer: torch.optim.Optimizer, config: AdaptConfig, step: int
) -> float:
    """Take one optimiser step over `accumulation` batches; return the mean loss."""
    total = 0.0
    for part in range(config.accumulation):
        # Seeded by the step, so that nothing random needs to be saved for resuming.
        torch.manual_seed(int(np.random.SeedSequence([config.seed, step, part]).generate_state(1)[0]))
        with _autocast(config):
            loss = draw(np.random.default_rng([config.seed, 0, step, part])) / config.accumulation
        loss.backward()
        total += float(loss.detach())
    if not np.isfinite(total):
        raise DataError(f"the loss became {total} at step {step}: lower 'lr' in 'adapt' (now {config.lr})")
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(config, step)
    nn.utils.clip_grad_norm_([value for value in network.parameters() if value.requires_grad], config.clip)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return total


@torch.no_grad()
def _evaluate(
    network: nn.Module,
    held_out: DrawLoss,
    config: AdaptConfig,
    progress: AdaptState,
    weights: dict[str, nn.Parameter],
    best: dict[str, Tensor],
    train_loss: float | None = None,
) -> None:
    """Measure the loss on the same held-out draw each time, without dropout; keep the weights if lowest."""
    network.eval()
    with _autocast(config):
        loss = float(held_out(np.random.default_rng([config.seed, _HELD_OUT_DRAW])))
    network.train()
    record = {"step": progress.step, "held_out": loss}
    if train_loss is not None:
        record["train"] = train_loss
    progress.losses.append(record)
    log.info("step %d: held-out loss %.4f", progress.step, loss)
    if loss < progress.best:
        progress.best, progress.best_step = loss, progress.step
        best.update({name: value.detach().clone() for name, value in weights.items()})


def _autocast(config: AdaptConfig) -> torch.autocast:
    wanted = config.dtype == "bfloat16" or (config.dtype == "auto" and has_bfloat16(config.device))
    return torch.autocast(torch.device(config.device).type, dtype=torch.bfloat16, enabled=wanted)
