"""run(config): the only function that wires data, text, model, training, evaluation and tracking together."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from gnnrec.baselines.face import fitted
from gnnrec.baselines.fusion import Fusion
from gnnrec.config import RunConfig, SplitConfig
from gnnrec.data.dataset import Dataset, load_dataset
from gnnrec.data.groups import item_groups, user_groups
from gnnrec.data.interactions import Interactions
from gnnrec.data.splits import Split, make_split
from gnnrec.devices import resolve_device
from gnnrec.errors import ConfigError, DataError
from gnnrec.evaluation.evaluate import Evaluation, evaluate
from gnnrec.evaluation.measure import Plan
from gnnrec.evaluation.result import describe_groups, figure_arrays
from gnnrec.evaluation.task import Task, validation_task
from gnnrec.features import Vectors, as_array
from gnnrec.make import make_objective, make_recommender
from gnnrec.manifest import Phases, environment, first_git_state, source_hash, tell_other_code
from gnnrec.model import Recommender
from gnnrec.objectives import Objective
from gnnrec.protocol import final_task, known_pairs, protocol_split
from gnnrec.report.figures import draw_evaluation
from gnnrec.report.frame import FinishedRun, parse_metric
from gnnrec.report.groups import metrics_by_group
from gnnrec.report.style import save_figure
from gnnrec.text.blocks import block_fingerprint, load_blocks
from gnnrec.text.nodes import node_fingerprint, node_vectors
from gnnrec.tracking import RunDir, Tracker
from gnnrec.training import History, fit
from gnnrec.training.checkpoint import read_position
from gnnrec.typed import build

logger = logging.getLogger(__name__)
ITEM_CUTOFF = 20
# In the run directory until the run is done: the state of training, and of training again on all known pairs.
CHECKPOINT, REFIT = "checkpoint.safetensors", "refit.safetensors"


@dataclass(frozen=True)
class RunResult:
    """What a run leaves: its key, its folder, and the metrics of `result.json`."""

    key: str
    path: Path
    metrics: dict[str, float]


@dataclass(frozen=True)
class _Data:
    """Data, split and tasks of a run; `known` is what the final model is trained on."""

    dataset: Dataset
    split: Split
    known: Interactions
    validation: Task
    test: Task


def open_run(config: RunConfig) -> RunDir:
    """Return the run directory that belongs to a configuration; nothing is written."""
    # Kept before anything trains: files edited meanwhile are not what this process runs.
    _code(config)
    templates = _load_dataset(config.dataset.name).card.get("text")
    return RunDir(config.tracking.root, config.key(_data_fingerprint(config.dataset.name), templates))


def run(config: RunConfig) -> RunResult:
    """Carry out one run and return its result; a finished run is read, not run again.

    Training and selection see train and validation only; the test is scored once, at the end. Under
    protocol=legacy_test_selected the test takes the place of validation, as in the papers compared with, and the
    manifest counts how often it was scored.
    """
    run_dir = open_run(config)
    if run_dir.finished:
        return _read_result(run_dir)
    config = _with_device(config)
    phases = Phases()
    with run_dir:
        run_dir.write_config(config.to_dict())
        tracker = Tracker(config.tracking, run_dir.key, _label(config), config.to_dict())
        try:
            metrics = _run(config, run_dir, tracker, phases)
        except BaseException:
            tracker.finish({}, exit_code=1)
            raise
        run_dir.finish()
        for name in (CHECKPOINT, REFIT):  # not before: on a full disk there would be neither
            (run_dir.path / name).unlink(missing_ok=True)
    return RunResult(run_dir.key, run_dir.path, metrics)


def validate(config: RunConfig, checkpoint: Path | None = None) -> dict[str, float]:
    """Fit a configuration and return its `validation/...` metrics, groups included, for a search over settings.

    The test is not scored. Nothing is written but `checkpoint`, a file that a training which was killed goes on from.
    """
    if config.protocol != "honest":
        raise ConfigError(
            f"a search sees validation only: it needs protocol=honest (got '{config.protocol}')"
        )
    config = replace(_with_device(config), eval=replace(config.eval, refit=False))
    data = _load(config)
    Plan(data.validation)  # a task without a pair is told before anything is trained
    item_vectors, user_vectors, _ = _vectors(config, data)
    scorer, _ = _make_scorer(config, data, item_vectors, user_vectors, checkpoint)
    return _evaluate(config, scorer, data.validation).metrics()


def _with_device(config: RunConfig) -> RunConfig:
    """Return the configuration with the devices that are used; texts are encoded where the model trains."""
    device = resolve_device(config.device)
    if config.text.device != "auto":
        return replace(config, device=device)
    return replace(config, device=device, text=replace(config.text, device=device))


def _run(config: RunConfig, run_dir: RunDir, tracker: Tracker, phases: Phases) -> dict[str, float]:
    with phases("data"):
        data = _load(config)
        if config.model.baseline is None and config.train.eval_every:
            Plan(data.validation)  # a task without a pair is told before anything is trained
    with phases("text"):
        item_vectors, user_vectors, text_fingerprint = _vectors(config, data)
    before = _before(run_dir)
    earlier = [state for state in before.code if state != _code(config)]
    checkpoint = run_dir.path / CHECKPOINT
    if checkpoint.exists():
        run_dir.resume_metrics(read_position(checkpoint)["rows"])

    def report(row: dict[str, float]) -> None:
        run_dir.append_metrics(row)
        tracker.log(row, int(row["epoch"]))

    with phases("train"):
        scorer, history = _make_scorer(config, data, item_vectors, user_vectors, checkpoint, report)
    with phases("test"):
        evaluation = _evaluate(config, scorer, data.test)
    metrics = evaluation.metrics()
    groups = describe_groups(data.test, data.split.train, evaluation)
    arrays = figure_arrays(data.test, data.split.train, evaluation, ITEM_CUTOFF)
    arrays |= {"users": evaluation.users, **evaluation.per_user}
    run_dir.write_per_user(arrays)
    recommender = _trained(scorer)
    if recommender is not None:
        run_dir.write_embeddings({"user_emb": recommender.user_emb, "item_emb": recommender.item_emb})
    counted = before.num_rows if before.num_test_scorings else 0
    validated = len(history.rows) - counted if history else 0
    run_dir.write_manifest(
        {
            **environment(config.device, config.to_dict()),
            **({"git_before": earlier} if earlier else {}),
            "fingerprints": {
                "data": data.dataset.fingerprint(),
                "split": data.split.fingerprint,
                "train": data.known.fingerprint(),
                "text": text_fingerprint,
            },
            "seeds": {"run": config.seed, "split": config.split.seed, "evaluation": config.eval.seed},
            "seconds": phases.seconds,
            **({"resumed_after_epoch": before.epoch} if before.epoch else {}),
            "num_parameters": sum(p.numel() for p in recommender.parameters()) if recommender else 0,
            "num_test_scorings": before.num_test_scorings
            + 1
            + (validated if config.protocol != "honest" else 0),
            "num_left_out_users": evaluation.num_left_out,
        }
    )
    result = {
        "key": run_dir.key,
        "protocol": config.protocol,
        "refit": config.eval.refit,
        "best_epoch": history.best_epoch if history else None,
        "validation": _best_row(history),
        "metrics": metrics,
        "groups": groups,
    }
    run_dir.write_result(result)
    figures = _figures(run_dir, metrics, arrays, config.model.name)
    tracker.finish({**metrics, "protocol": config.protocol}, _group_table(metrics), figures)
    return metrics


@dataclass(frozen=True)
class _Before:
    """What an interrupted process left: its last epoch and rows, the code it ran, how often it scored the test."""

    epoch: int
    num_rows: int
    code: list[dict[str, Any]]
    num_test_scorings: int


def _before(run_dir: RunDir) -> _Before:
    checkpoint, manifest = run_dir.path / CHECKPOINT, run_dir.path / "manifest.json"
    position = read_position(checkpoint) if checkpoint.exists() else {}
    scorings = 0
    if manifest.exists():  # written after the test, so that one is there: it was interrupted later
        try:
            scorings = int(json.loads(manifest.read_text(encoding="utf-8"))["num_test_scorings"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            told = f"cannot read '{manifest}' ({type(error).__name__}: {error})"
            raise DataError(f"{told}; delete '{run_dir.path}' and run it again") from error
    return _Before(
        position.get("epoch", 0), len(position.get("rows", [])), position.get("code", []), scorings
    )


def _code(config: RunConfig) -> dict[str, Any]:
    """Return the git state of the code and the hash of its files, as they were when this process first asked."""
    return {**(first_git_state() or {}), "sources": source_hash(config.to_dict())}


@lru_cache(maxsize=4)
def _load_dataset(name: str) -> Dataset:
    return load_dataset(name)


@lru_cache(maxsize=4)
def _data_fingerprint(name: str) -> str:
    return _load_dataset(name).fingerprint()


def _load(config: RunConfig) -> _Data:
    dataset = _load_dataset(config.dataset.name)
    split = protocol_split(_split(dataset, config.split), config.protocol)
    items = item_groups(split.train, config.eval.item_rule, config.eval.head, config.eval.tail)
    users = user_groups(split.train, config.eval.num_user_groups)
    test = final_task(split, items, users, config.eval.refit)
    selection = validation_task(split, items, users) if config.protocol == "honest" else test
    return _Data(dataset, split, known_pairs(split, config.eval.refit), selection, test)


def _split(dataset: Dataset, config: SplitConfig) -> Split:
    split = make_split(dataset, config.name, config.seed, **config.params)
    if split.support is not None:
        raise ConfigError(
            f"the split '{split.name}' has {len(split.support)} support pairs, which no model here takes at inference: "
            "use '+split.params.support=0' (with the same 'reserve', users and test pairs stay the same)"
        )
    return split


def _vectors(config: RunConfig, data: _Data) -> tuple[Vectors | None, Vectors | None, str | None]:
    """Return item vectors and user vectors, each where the model uses them, and the fingerprint of the items' texts.

    Blocks of features take the place of the one vector per node where the configuration has any.
    """
    split, train = data.split.fingerprint, data.split.train
    vectors: list[Vectors | None] = [None, None]
    fingerprint: str | None = None
    sides = ("item", config.init.item_blocks), ("user", config.init.user_blocks)
    for place, ((side, blocks), wanted) in enumerate(zip(sides, config.needs_text(), strict=True)):
        if not wanted:
            continue
        if blocks and config.model.baseline is None:
            vectors[place] = load_blocks(data.dataset, side, blocks, config.text, train, split)
            found = block_fingerprint(data.dataset, side, blocks, config.text)
        else:
            vectors[place] = node_vectors(data.dataset, side, config.text, train, split).vectors
            found = node_fingerprint(data.dataset, side, config.text, split) if side == "item" else None
        fingerprint = fingerprint or found
    return vectors[0], vectors[1], fingerprint


def _make_scorer(
    config: RunConfig,
    data: _Data,
    item_vectors: Vectors | None,
    user_vectors: Vectors | None,
    checkpoint: Path | None,
    report: Callable[[dict[str, float]], None] | None = None,
) -> tuple[Any, History | None]:
    if config.model.baseline is not None:
        baseline = build(config.model.baseline, "model.baseline", split_fingerprint=data.split.fingerprint)
        return fitted(baseline, data.known, item_vectors, user_vectors), None

    recommender, history = _train(config, data, item_vectors, user_vectors, checkpoint, report)
    scorer = config.model.fused(recommender, data.split.fingerprint)
    if scorer is not recommender:
        sides = ((item_vectors, "item"), (user_vectors, "user"))
        scorer.fit(data.known, *(None if v is None else as_array(v, data.known, side) for v, side in sides))
    return scorer, history


def _train(
    config: RunConfig,
    data: _Data,
    item_vectors: Vectors | None,
    user_vectors: Vectors | None,
    checkpoint: Path | None,
    report: Callable[[dict[str, float]], None] | None,
) -> tuple[Recommender, History | None]:
    """Train, select the epoch on validation unless it is fixed, and train again on all known pairs if wanted."""

    def make(pairs: Interactions) -> tuple[Recommender, Objective]:
        recommender = make_recommender(config, pairs, item_vectors, user_vectors)
        return recommender, make_objective(config, recommender, pairs, item_vectors, user_vectors)

    if not config.train.eval_every:
        recommender, objective = make(data.known)
        fit(recommender, objective, config.train, None, config.seed, checkpoint, report, code=_code(config))
        return recommender, None
    recommender, objective = make(data.split.train)
    validate = _validator(config, data)
    history = fit(
        recommender, objective, config.train, validate, config.seed, checkpoint, report, code=_code(config)
    )
    if config.eval.refit:
        recommender, objective = make(data.known)
        again = checkpoint and checkpoint.with_name(REFIT)
        fit(
            recommender,
            objective,
            config.train,
            None,
            config.seed,
            again,
            last_epoch=history.best_epoch,
            code=_code(config),
        )
    return recommender, history


def _validator(config: RunConfig, data: _Data) -> Callable[[Recommender], dict[str, float]]:
    metric, _, cutoff = config.train.select.partition("@")
    metrics = tuple(dict.fromkeys((metric, "recall", "ndcg")))

    def validate(model: Recommender) -> dict[str, float]:
        result = evaluate(
            model, data.validation, (int(cutoff),), config.eval.seed, metrics=metrics, groups=False
        ).metrics()
        return {f"validation/{k.partition('/')[2]}": v for k, v in result.items()}

    return validate


def _evaluate(config: RunConfig, scorer: Any, task: Task) -> Evaluation:
    return evaluate(scorer, task, config.eval.ks, config.eval.seed, metrics=config.eval.metrics)


def _best_row(history: History | None) -> dict[str, float] | None:
    if history is None:
        return None
    best = [row for row in history.rows if row["epoch"] == history.best_epoch]
    return {k: v for k, v in best[0].items() if k.startswith("validation/")} if best else None


def _trained(scorer: Any) -> Recommender | None:
    """Return the trained model in a scorer: itself, or a part of a fusion; None for a baseline."""
    if isinstance(scorer, Fusion):
        scorer = scorer.fitted.get("graph")
    return scorer if isinstance(scorer, Recommender) else None


def _label(config: RunConfig) -> str:
    init = "" if config.model.baseline is not None else f"-{config.init.mode}"
    return f"{config.dataset.name}-{config.split.name}-{config.model.name}{init}-{config.seed}"


def _read_result(run_dir: RunDir) -> RunResult:
    finished = FinishedRun(run_dir.path)
    tell_other_code(finished.manifest.get("sources"), finished.config, run_dir.path)
    metrics = {k: float("nan") if v is None else v for k, v in finished.result["metrics"].items()}
    return RunResult(run_dir.key, run_dir.path, metrics)


def _group_table(metrics: dict[str, float]) -> tuple[list[str], list[list[Any]]]:
    """Return one row per group (overall first) and one column per metric, for the dashboard."""
    rows: dict[str, dict[str, float]] = {}
    for key, value in metrics.items():
        parsed = parse_metric(key)
        rows.setdefault(parsed.group or "all", {})[key.rpartition("/")[2]] = value
    columns = list(rows["all"])
    return ["group", *columns], [[name, *(row.get(c) for c in columns)] for name, row in rows.items()]


def _figures(
    run_dir: RunDir, metrics: dict[str, float], arrays: dict[str, np.ndarray], name: str
) -> list[Path]:
    """Draw one run for screens and dashboards; those for papers, of several runs, are compare.py's and table.py's."""
    drawn = {"metrics_by_group": metrics_by_group(metrics)}
    drawn |= draw_evaluation({name: [arrays]}, k=ITEM_CUTOFF)
    return [
        path
        for stem, figure in drawn.items()
        for path in save_figure(figure, run_dir.figures / stem, formats=("png",))
    ]
