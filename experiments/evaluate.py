"""Score the results of any tool under our protocol: python experiments/evaluate.py --lists run.trec --name X"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import pandas as pd

if __package__ in (None, ""):  # started as a script: take the repository, not this folder, for imports
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from experiments.cli import format_table, run_main
from gnnrec.data.dataset import Dataset, load_dataset
from gnnrec.data.groups import item_groups, user_groups
from gnnrec.data.splits import Split, make_split
from gnnrec.errors import ConfigError, DataError, check_choice, check_range
from gnnrec.evaluation.evaluate import evaluate
from gnnrec.evaluation.foreign import check_once, evaluate_lists, read_embeddings, read_run
from gnnrec.evaluation.measure import ALL_BEYOND, DEFAULT_METRICS, Plan
from gnnrec.evaluation.pairs import click_metrics, rating_metrics
from gnnrec.evaluation.result import Evaluation, describe_groups, figure_arrays
from gnnrec.evaluation.task import Task
from gnnrec.files import sha256_file
from gnnrec.manifest import environment
from gnnrec.protocol import PROTOCOLS, final_task, protocol_split
from gnnrec.tracking import RunDir

SHOWN = ("recall", "ndcg")
# No flag gives the vectors and categories that the others need.
BEYOND = tuple(name for name in ALL_BEYOND if name not in ("ild", "unexpectedness", "miscalibration"))
# Of what can be evaluated, what reads which flags; the flags that are not named here are read by lists and embeddings.
READ_BY = {
    "user_ids": ("embeddings",),
    "item_ids": ("embeddings",),
    "similarity": ("embeddings",),
    "threshold": ("clicks",),
}
EPILOG = """\
ranked lists   csv, tsv or parquet with columns user, item and score or rank; or TREC (user Q0 item rank score tag)
embeddings     .safetensors or .npz with user_emb and item_emb; an .npz may hold user_ids and item_ids
pairs          csv, tsv or parquet with columns label and prediction (and user, for gauc)

Ids are the raw ids of the data set. Lists and embeddings leave a run directory, which
`python experiments/table.py table=NAME --add FOLDER --output OTHER` puts into a table as a row.
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}; see --help")


def main(argv: Sequence[str]) -> None:
    """Evaluate lists, embeddings or labelled pairs; see --help."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    kind = next(
        kind for kind in ("lists", "embeddings", "ratings", "clicks") if getattr(arguments, kind) is not None
    )
    _check_read(arguments, parser, kind)
    if kind in ("ratings", "clicks"):
        metrics = _evaluate_pairs(arguments)
        print(format_table(["metric", "value"], list(metrics.items())))
        return
    _cutoffs(arguments.ks)
    if arguments.refit and arguments.protocol != "honest":
        raise ConfigError("'--refit' needs --protocol honest: a legacy split has no validation part to add")
    check_range("--eval-seed", arguments.eval_seed, "evaluate.py", low=0)
    dataset = load_dataset(arguments.dataset)
    split = make_split(dataset, arguments.split, arguments.split_seed, **_params(arguments.split_param))
    split = protocol_split(split, arguments.protocol)
    items = item_groups(split.train, arguments.item_rule, arguments.head, arguments.tail)
    task = final_task(split, items, user_groups(split.train, arguments.num_user_groups), arguments.refit)
    run_dir, config = _open(arguments, dataset)
    if run_dir.finished:
        raise DataError(f"'{run_dir.path}' holds this evaluation already; delete it to evaluate again")
    evaluation = _evaluate(arguments, dataset, task)
    with run_dir:
        _write(run_dir, config, evaluation, task, split, dataset)
    _report(evaluation, run_dir.path)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python experiments/evaluate.py",
        description="Score the results of any tool under our protocol (docs/metrics.md).",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--lists", metavar="FILE", help="ranked lists")
    what.add_argument("--embeddings", metavar="FILE", help="user and item vectors, scored by their products")
    what.add_argument("--ratings", metavar="FILE", help="predicted ratings: rmse, mae")
    what.add_argument("--clicks", metavar="FILE", help="click probabilities: logloss, auc, ece, ...")
    parser.add_argument("--name", default="external", help="the model's name in tables")
    parser.add_argument("--seed", type=int, default=0, help="which of the model's seeds this is (default 0)")
    parser.add_argument("--dataset", default="debian", help="name or folder of the data set")
    parser.add_argument("--split", default="random", help="name of the split")
    parser.add_argument("--split-seed", type=int, default=0, metavar="N")
    parser.add_argument("--split-param", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--user-ids", metavar="FILE", help="raw id of each row of user_emb, one a line")
    parser.add_argument("--item-ids", metavar="FILE", help="raw id of each row of item_emb, one a line")
    parser.add_argument("--similarity", choices=("dot", "cosine"), default="dot")
    parser.add_argument("--ks", default="10,20,50", help="cutoffs (default 10,20,50)")
    parser.add_argument("--metrics", default=",".join(DEFAULT_METRICS), help="also f1, map, auc")
    parser.add_argument("--beyond", help=f"of {','.join(BEYOND)}")
    parser.add_argument("--item-rule", default="quantile", help="rule of the item groups")
    parser.add_argument("--head", type=float, metavar="X", help="of the rule (default: its own)")
    parser.add_argument("--tail", type=float, metavar="X", help="of the rule (default: its own)")
    parser.add_argument("--num-user-groups", type=int, default=4, metavar="N")
    parser.add_argument("--eval-seed", type=int, default=0, metavar="N", help="of the order of equal scores")
    parser.add_argument("--protocol", choices=PROTOCOLS, default="honest")
    parser.add_argument("--refit", action="store_true", help="the model was trained on validation, too")
    parser.add_argument("--threshold", type=float, default=0.5, help="of a predicted click (default .5)")
    parser.add_argument("--root", default="runs", help="folder of run directories (default runs)")
    return parser


def _check_read(arguments: argparse.Namespace, parser: argparse.ArgumentParser, kind: str) -> None:
    """Raise a ConfigError for a flag that changes nothing in this kind of evaluation."""
    for name, value in vars(arguments).items():
        readers = READ_BY.get(name, ("lists", "embeddings"))
        if name != kind and value != parser.get_default(name) and kind not in readers:
            flags = " and ".join(f"--{reader}" for reader in readers)
            raise ConfigError(
                f"'--{name.replace('_', '-')}' is read with {flags}, not with --{kind}: leave it out"
            )


def _params(words: Sequence[str]) -> dict[str, Any]:
    params = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise ConfigError(f"'--split-param' must be KEY=VALUE (got '{word}')")
        try:
            params[name] = json.loads(value)
        except ValueError:
            params[name] = value
    return params


def _cutoffs(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigError(f"'--ks' must be whole numbers with commas, as in 10,20 (got '{text}')") from error


def _beyond(text: str | None) -> tuple[str, ...] | None:
    names = None if text is None else tuple(text.split(","))
    for name in names or ():
        check_choice("beyond-accuracy metric", name, BEYOND, "--beyond")
    return names


def _evaluate(arguments: argparse.Namespace, dataset: Dataset, task: Task) -> Evaluation:
    users, items = dataset.users["user_id"], dataset.items["item_id"]
    beyond = _beyond(arguments.beyond)
    metrics, ks = tuple(arguments.metrics.split(",")), _cutoffs(arguments.ks)
    if arguments.lists is not None:
        plan = Plan(task, ks, metrics, beyond)
        return evaluate_lists(
            read_run(arguments.lists, users, items, arguments.name), plan, arguments.eval_seed
        )
    scorer = read_embeddings(
        arguments.embeddings,
        users,
        items,
        user_file=arguments.user_ids,
        item_file=arguments.item_ids,
        similarity=arguments.similarity,
        name=arguments.name,
    )
    return evaluate(scorer, task, ks, arguments.eval_seed, metrics=metrics, beyond=beyond)


def _open(arguments: argparse.Namespace, dataset: Dataset) -> tuple[RunDir, dict[str, Any]]:
    """Return the run directory that belongs to this evaluation, and its configuration."""
    path = Path(arguments.embeddings if arguments.lists is None else arguments.lists)
    beyond = _beyond(arguments.beyond)
    config = {
        "protocol": arguments.protocol,
        "seed": arguments.seed,
        "dataset": {"name": arguments.dataset},
        "split": {
            "name": arguments.split,
            "seed": arguments.split_seed,
            "params": _params(arguments.split_param),
        },
        "model": {
            "name": arguments.name,
            "external": path.name,
            "sha256": _digest(path),
            "similarity": None if arguments.embeddings is None else arguments.similarity,
        },
        "eval": {
            "ks": list(_cutoffs(arguments.ks)),
            "metrics": arguments.metrics.split(","),
            "beyond": None if beyond is None else list(beyond),
            "seed": arguments.eval_seed,
            "item_rule": arguments.item_rule,
            "head": arguments.head,
            "tail": arguments.tail,
            "num_user_groups": arguments.num_user_groups,
            "refit": arguments.refit,
        },
    }
    ids = [None if file is None else _digest(Path(file)) for file in (arguments.user_ids, arguments.item_ids)]
    text = json.dumps([config, ids, dataset.fingerprint()], sort_keys=True)
    return RunDir(arguments.root, hashlib.sha256(text.encode()).hexdigest()[:16]), config


def _digest(path: Path) -> str:
    try:
        return sha256_file(path)
    except OSError as error:
        raise DataError(f"cannot read '{path}' ({error.strerror})") from error


def _write(
    run_dir: RunDir,
    config: dict[str, Any],
    evaluation: Evaluation,
    task: Task,
    split: Split,
    dataset: Dataset,
) -> None:
    run_dir.write_config(config)
    arrays = figure_arrays(task, split.train, evaluation)
    run_dir.write_per_user({"users": evaluation.users, **evaluation.per_user, **arrays})
    run_dir.write_manifest(
        {
            **environment("cpu", {}),
            "fingerprints": {"data": dataset.fingerprint(), "split": split.fingerprint, "text": None},
            "seeds": {"run": config["seed"], "split": split.seed, "evaluation": config["eval"]["seed"]},
            "num_test_scorings": 1,
            "num_left_out_users": evaluation.num_left_out,
        }
    )
    run_dir.write_result(
        {
            "key": run_dir.key,
            "protocol": config["protocol"],
            "refit": config["eval"]["refit"],
            "metrics": evaluation.metrics(),
            "groups": describe_groups(task, split.train, evaluation),
        }
    )
    run_dir.finish()


def _report(evaluation: Evaluation, path: Path) -> None:
    metrics = evaluation.metrics()
    k = 20 if 20 in evaluation.ks else evaluation.ks[0]
    names = [f"{name}@{k}" for name in SHOWN if f"{evaluation.split}/{name}@{k}" in metrics]
    rows = []
    for group in dict.fromkeys(["", *(key.split("/")[1] for key in metrics if key.count("/") == 2)]):
        prefix = f"{evaluation.split}/{group}/" if group else f"{evaluation.split}/"
        if all(prefix + name in metrics for name in names):
            rows.append([group or "all", *(metrics[prefix + name] for name in names)])
    print(format_table(["", *names], rows))
    short = metrics.get(f"{evaluation.split}/short_lists@{k}", 0)
    if short:
        print(f"{short:.0f} users have lists shorter than {k}: their numbers are lower bounds")
    print(
        f"{len(evaluation.users):,} users evaluated, {evaluation.num_left_out:,} without a relevant item; {path}"
    )


def _evaluate_pairs(arguments: argparse.Namespace) -> dict[str, float]:
    path = Path(arguments.clicks if arguments.ratings is None else arguments.ratings)
    frame = _read_pairs(path)
    for column in ("label", "prediction"):
        if column not in frame.columns:
            raise DataError(
                f"'{path}' has no column '{column}' (found: {', '.join(map(str, frame.columns))})"
            )
        if not pd.api.types.is_numeric_dtype(frame[column]):
            raise DataError(f"column '{column}' of '{path}' must hold numbers (got {frame[column].dtype})")
    label, prediction = frame["label"].to_numpy(), frame["prediction"].to_numpy()
    if arguments.ratings is not None:
        return rating_metrics(label, prediction)
    user = frame["user"].to_numpy() if "user" in frame.columns else None
    return click_metrics(label, prediction, threshold=arguments.threshold, user=user)


def _read_pairs(path: Path) -> pd.DataFrame:
    try:
        if path.suffix == ".parquet":
            frame = pd.read_parquet(path)
            names = frame.columns.tolist()
        else:
            separator = "\t" if path.suffix in (".tsv", ".txt") else ","
            # Read as a row, since pandas gives repeated names of a header other names.
            first = pd.read_csv(path, sep=separator, header=None, dtype=str, keep_default_na=False, nrows=1)
            names = first.iloc[0].tolist()
            with warnings.catch_warnings():
                # Without index_col pandas takes the first field of longer rows for an index, with it cuts them off.
                warnings.simplefilter("error", pd.errors.ParserWarning)
                frame = pd.read_csv(path, sep=separator, index_col=False)
    except pd.errors.ParserWarning as error:
        raise DataError(
            f"'{path}' has rows with more fields than its header, from the first on: expected {len(names)} "
            f"({', '.join(names)})"
        ) from error
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read '{path}' ({str(error).splitlines()[0]})") from error
    check_once(names, ("label", "prediction", "user"), path)
    return frame


if __name__ == "__main__":
    sys.exit(run_main(main))
