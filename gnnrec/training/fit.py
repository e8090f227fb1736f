"""The training loop: a function that reads from top to bottom."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gnnrec.allocator import keep_freed_memory
from gnnrec.errors import GnnrecError, check_choice, check_range
from gnnrec.graph import PRECISIONS
from gnnrec.model import Recommender
from gnnrec.objectives import Objective, Step
from gnnrec.objectives.sampling import NegativeSampler, uniform_draws
from gnnrec.progress import Progress
from gnnrec.training.checkpoint import load_checkpoint, read_position, save_checkpoint
from gnnrec.training.memory import check_memory
from gnnrec.training.sampler import SAMPLINGS, PairSampler, derive_seed
from gnnrec.views import augment

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainConfig:
    """How a model is trained.

    Args:
        epochs: at most so many.
        batch_size: train pairs a step.
        lr: learning rate of Adam.
        schedule: `constant`, or `cosine` from lr to 0 over `epochs`.
        sampling: what an epoch deals: `pairs` every train pair once, as RecBole and SELFRec do; `users` as many draws
            of a user and then of one of its items, as the code of LightGCN's authors does: a user of few pairs then
            counts as much as one of many, as it does in the metrics. The logQ correction of in-batch negatives is
            reckoned for `pairs`.
        num_negatives: uniform negatives per pair, for the terms that use them.
        eval_every: epochs between two evaluations on validation; 0 for none: all `epochs` run, their number having been
            chosen before, for example on validation with another seed (with eval.refit, on train + validation at once).
        patience: evaluations without a better `select` before training stops.
        precision: `float32`, or `bfloat16` to store node matrices between two propagations in half the space and to
            multiply the vectors of softmax losses and InfoNCE in it: faster, with rounded states and gradients
            (docs/performance.md has the effect on quality). Weights, scoring, attention, maxima over neighbours and
            random walks stay float32.
        select: metric of validation that chooses the epoch, without the `validation/` prefix.
        checkpoint_seconds: least time between two checkpoints on disk, which are written after an epoch.
    """

    epochs: int = 100
    batch_size: int = 2048
    lr: float = 1e-3
    schedule: str = "constant"
    sampling: str = "pairs"
    num_negatives: int = 1
    eval_every: int = 1
    patience: int = 10
    precision: str = "float32"
    select: str = "ndcg@20"
    checkpoint_seconds: float = 30.0

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "num_negatives", "patience"):
            check_range(name, getattr(self, name), "train", low=1)
        check_range("eval_every", self.eval_every, "train", low=0)
        check_range(
            "checkpoint_seconds", self.checkpoint_seconds, "train", low=0, high=math.inf, high_open=True
        )
        check_range("lr", self.lr, "train", low=0, low_open=True)
        check_choice("schedule", self.schedule, ("constant", "cosine"), "train")
        check_choice("sampling", self.sampling, SAMPLINGS, "train")
        check_choice("precision", self.precision, PRECISIONS, "train")


@dataclass
class History:
    """Epochs done, the last to do, one row per evaluation (per epoch without), the best, and what code trained."""

    epoch: int
    last_epoch: int
    rows: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    best_value: float = -math.inf
    code: list[dict[str, Any]] = field(default_factory=list)


Validate = Callable[[Recommender], dict[str, float]]
Batch = tuple[Tensor, Tensor, Tensor | None]


def fit(
    model: Recommender,
    objective: Objective,
    config: TrainConfig,
    validate: Validate | None,
    seed: int = 0,
    checkpoint: Path | None = None,
    on_row: Callable[[dict[str, float]], None] | None = None,
    last_epoch: int | None = None,
    code: dict[str, Any] | None = None,
) -> History:
    """Train a model on its graph and leave it with the weights that were best on validation.

    Sees the train graph and `validate` only. Epoch e draws all its randomness from (seed, e), so a run resumed from
    `checkpoint` gives the same weights as one never interrupted.

    Args:
        validate: returns `validation/...` metrics; without it, or with eval_every of 0, all epochs run and the last
            weights stay (a refit).
        checkpoint: file to resume from, if it is there and of a training to the same last epoch, and to write to.
        on_row: is given each new row of the history.
        last_epoch: stop after this one, in the learning rates of `config.epochs`.
        code: the git state of what trains; the checkpoint keeps those of all calls, and another one is warned of.
    Errors: GnnrecError when a loss is not finite or no batch of an epoch has a gradient, naming terms and epoch, and
        before the start when training needs far more memory than is free, naming what to lower.
    """
    check_memory(model, objective, config.batch_size, config.num_negatives)
    keep_freed_memory()
    validate = validate if config.eval_every else None
    optimizer = make_optimizer(model, config)
    last = last_epoch or config.epochs
    history, best = History(epoch=0, last_epoch=last), {} if validate is None else _copy(model)
    if checkpoint is not None and checkpoint.exists() and _leads_to(last, checkpoint):
        history, best = _resume(checkpoint, model, optimizer, code)
    if code is not None and code not in history.code:
        history.code.append(code)
    negatives = NegativeSampler(model.graph) if objective.reads("negative") else None
    pairs = PairSampler(model.graph, config.batch_size, config.sampling)
    saved = time.monotonic()
    num_steps, begin = last * len(pairs), history.epoch * len(pairs)
    with Progress(name="train", unit="step", total=num_steps, initial=begin) as progress:
        for epoch in range(history.epoch + 1, last + 1):
            if validate is not None and _is_over(history, config):
                break
            progress.note(f"epoch {epoch} of {last}{_last_value(history, config)}")
            began = time.perf_counter()
            generator = torch.Generator(model.graph.device).manual_seed(derive_seed(seed, "epoch", epoch))
            terms = _train_epoch(
                model, objective, config, optimizer, negatives, pairs, generator, epoch, progress
            )
            model.refresh()
            history.epoch = epoch
            if validate is None or epoch % config.eval_every == 0 or epoch == last:
                row = {"epoch": epoch, **terms, "seconds/train": time.perf_counter() - began}
                if validate is not None:
                    best = _evaluate(model, validate, config, history, row) or best
                history.rows.append(row)
                if on_row is not None:
                    on_row(row)
            if checkpoint is not None and time.monotonic() - saved > config.checkpoint_seconds:
                save_checkpoint(checkpoint, model, optimizer, best, vars(history))
                saved = time.monotonic()
    if validate is not None:
        model.load_state_dict(best)
    model.refresh()
    return history


def _leads_to(last: int, checkpoint: Path) -> bool:
    """Return whether a checkpoint is of a training to this last epoch; a refit to another one is begun anew."""
    found = read_position(checkpoint).get("last_epoch", last)
    if found != last:
        logger.warning("'%s' is of a training to epoch %s, not %d: trained anew", checkpoint, found, last)
    return found == last


def _resume(
    checkpoint: Path, model: Recommender, optimizer: torch.optim.Optimizer, code: dict[str, Any] | None
) -> tuple[History, dict[str, Tensor]]:
    """Put model and optimizer where a checkpoint left them; return the history and the weights that were best."""
    best, position = load_checkpoint(checkpoint, model, optimizer)
    try:
        history = History(**position)
    except TypeError as error:
        raise GnnrecError(
            f"checkpoint '{checkpoint}' is of another version of gnnrec; delete it to train anew"
        ) from error
    logger.info("resumed after epoch %d from %s", history.epoch, checkpoint)
    if history.code and code not in history.code:
        logger.warning(
            "'%s' goes on with other code (%s) than it was begun with (%s); delete it to train anew",
            checkpoint,
            code,
            history.code[-1],
        )
    return history, best


def _evaluate(
    model: Recommender, validate: Validate, config: TrainConfig, history: History, row: dict[str, float]
) -> dict[str, Tensor] | None:
    """Add what validation gives to the row; return the weights where they are the best so far."""
    began = time.perf_counter()
    row |= validate(model)
    row["seconds/validation"] = time.perf_counter() - began
    value = row[f"validation/{config.select}"]
    if value <= history.best_value:
        return None
    history.best_value, history.best_epoch = value, int(row["epoch"])
    return _copy(model)


def _last_value(history: History, config: TrainConfig) -> str:
    if not history.best_epoch:
        return ""
    value = history.rows[-1][f"validation/{config.select}"]
    return f", {config.select} {value:.4f} (best {history.best_value:.4f} at {history.best_epoch})"


def _is_over(history: History, config: TrainConfig) -> bool:
    return bool(history.rows) and history.epoch - history.best_epoch >= config.patience * config.eval_every


def _copy(model: Recommender) -> dict[str, Tensor]:
    return {k: v.detach().clone() for k, v in model.state_dict().items()}


def _train_epoch(
    model: Recommender,
    objective: Objective,
    config: TrainConfig,
    optimizer: torch.optim.Optimizer,
    negatives: NegativeSampler | None,
    pairs: PairSampler,
    generator: torch.Generator,
    epoch: int,
    progress: Progress[Any],
) -> dict[str, float]:
    """Train one epoch; return the mean of each weighted term and of their sum, and the learning rate."""
    # Layers with their own dropout draw from torch's global generator: give them a stream of this epoch.
    torch.manual_seed(derive_seed(generator.initial_seed(), "layers"))
    model.eval()  # an epoch is prepared on the features as they are, without dropped ids and the noise of gates
    objective.begin_epoch(epoch, model.view, generator)
    model.train()
    names: list[str] = []
    sums = finite = torch.zeros((), device=model.graph.device)
    learned = False
    for number, batch in enumerate(batches(pairs, negatives, config.num_negatives, generator)):
        lr = _learning_rate(config, epoch - 1 + number / len(pairs))
        for group in optimizer.param_groups:
            group["lr"] = lr
        terms = train_step(model, objective, optimizer, batch, generator, config.precision)
        names = list(terms)
        learned = learned or any(parameter.grad is not None for parameter in model.parameters())
        sums = sums + torch.stack(list(terms.values()))
        finite = finite + torch.isfinite(sums)  # a sum that is not finite stays so: counts the steps before
        progress.update()
    if not learned:
        told = ", ".join(f"'{name}'" for name in names if name != "total")
        raise GnnrecError(
            f"nothing to learn from in epoch {epoch}: no batch had a gradient in any term of 'model.objective' "
            f"({told}); add one that ranks, as gnnrec.objectives.BPR"
        )
    means = {f"loss/{name}": value / len(pairs) for name, value in zip(names, sums.tolist(), strict=True)}
    if not math.isfinite(means["loss/total"]):
        raise GnnrecError(_diverged(dict(zip(names, finite.int().tolist(), strict=True)), epoch, len(pairs)))
    return {**means, "lr": lr}


def _diverged(finite: dict[str, int], epoch: int, num_steps: int) -> str:
    """Return what to tell of an epoch whose loss is not finite, given for how many steps each term was."""
    first = min(finite.values())
    terms = ", ".join(f"'{name}'" for name, steps in finite.items() if steps == first and name != "total")
    mend = "lower train.lr or a weight"
    if epoch == 1 and first == 0:
        mend = "nothing was trained before, so look at the features, the encoder and what that term computes"
    where = f"step {first + 1} of {num_steps} in {terms or 'the total'}"
    return f"the loss is not finite in epoch {epoch}, first in {where}; {mend}"


def batches(
    pairs: PairSampler, negatives: NegativeSampler | None, num_negatives: int, generator: torch.Generator
) -> Iterator[Batch]:
    """Yield the (user, positive, negative) of an epoch; the last is None where there is no sampler of negatives."""
    for user, positive in pairs.epoch(generator):
        if negatives is not None:
            yield user, positive, negatives.sample(user, num_negatives, generator)
        else:
            # What else the step draws must not hang on whether a term reads negatives.
            uniform_draws(len(user), num_negatives, generator)
            yield user, positive, None


def make_optimizer(model: Recommender, config: TrainConfig) -> torch.optim.Optimizer:
    """Return Adam over all that is trained."""
    return torch.optim.Adam(model.parameters(), lr=config.lr, fused=True)


def train_step(
    model: Recommender,
    objective: Objective,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    generator: torch.Generator,
    precision: str = "float32",
) -> dict[str, Tensor]:
    """Take one step on (user, positive, negative); return each weighted term and `total`, left on the device."""
    user, positive, negative = batch
    view = model.view()
    view = replace(view, graph=view.graph.with_precision(precision))
    step = Step(
        user=user,
        positive=positive,
        drawn=negative,
        view=augment(view, model.augmentations, generator),
        encoder=model.encoder,
        train=model.graph,
        generator=generator,
        keep_layers=objective.keep_layers,
    )
    total, terms = objective(step)
    optimizer.zero_grad(set_to_none=True)
    # It does not where each term found nothing in the batch, as one of texts where no node has any.
    if total.requires_grad:
        total.backward()
        optimizer.step()
    return {"total": total.detach(), **terms}


def _learning_rate(config: TrainConfig, position: float) -> float:
    """Learning rate at a position in epochs, fractions included."""
    if config.schedule == "constant":
        return config.lr
    return config.lr * 0.5 * (1 + math.cos(math.pi * position / config.epochs))
