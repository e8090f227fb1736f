"""Results of other tools: ranked lists and embeddings with raw ids, brought under our protocol."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.numpy import load_file

from gnnrec.data.files import read_lines
from gnnrec.errors import ConfigError, DataError
from gnnrec.evaluation.measure import Plan, measure
from gnnrec.evaluation.ranking import Ranking
from gnnrec.evaluation.result import Evaluation
from gnnrec.evaluation.scorers import EmbeddingScorer
from gnnrec.evaluation.topk import NO_ITEM, tie_keys

_NAMES = {"user": ("user", "user_id", "query_id", "qid"), "item": ("item", "item_id", "doc_id", "docid")}
_ORDER = ("score", "rank")
_TREC = ["user", "q0", "item", "rank", "score", "tag"]


@dataclass(frozen=True)
class RankedPairs:
    """Scored pairs of a run file, as our ids.

    Args:
        name: the model's name in messages.
        user, item: int64 [n].
        score: float64 [n], higher is better.
    """

    name: str
    user: np.ndarray
    item: np.ndarray
    score: np.ndarray


def read_run(
    path: str | Path, user_ids: Iterable[object], item_ids: Iterable[object], name: str
) -> RankedPairs:
    """Read ranked lists: parquet, csv or tsv with columns user, item and score or rank, or the TREC run format.

    A file without a header and with six columns is taken as TREC (user Q0 item rank score tag). Ids are the raw
    ids of the data set, compared as text as they stand there, be they NA or null. Quotes mean something in csv and tsv
    with a header alone.

    Raises DataError for unknown ids, repeated columns, repeated pairs, scores that are no finite numbers, rows with
    more fields than the first and unreadable files.
    """
    frame = _read_frame(Path(path))
    if frame.empty:
        raise DataError(f"'{path}' holds no rows: expected one for each user and listed item")
    columns = {}
    for role, names in {**_NAMES, "score or rank": _ORDER}.items():
        found = [column for column in names if column in frame.columns]
        if not found:
            known = ", ".join(map(str, frame.columns))
            raise DataError(f"'{path}' has no column '{role}' (found: {known})")
        check_once(frame.columns, found[:1], path)
        columns[role] = frame[found[0]]
    score = np.asarray(pd.to_numeric(columns["score or rank"], errors="coerce"), dtype=np.float64)
    score = score if "score" in frame.columns else -score
    if not np.isfinite(score).all():
        raise DataError(
            f"{(~np.isfinite(score)).sum()} of {len(score)} scores of '{name}' are no finite numbers"
        )
    user = _to_ids(columns["user"], user_ids, "user", path)
    item = _to_ids(columns["item"], item_ids, "item", path)
    repeats = int(pd.DataFrame({"user": user, "item": item}).duplicated().sum())
    if repeats:
        raise DataError(
            f"'{path}' names {repeats} pairs more than once: each user's list must hold an item once"
        )
    return RankedPairs(name, user, item, score)


def check_once(columns: Iterable[object], names: Iterable[str], path: str | Path) -> None:
    """Raise a DataError where one of `names` is the name of several columns."""
    counts = Counter(columns)
    for name in names:
        if counts[name] > 1:
            raise DataError(f"'{path}' has {counts[name]} columns '{name}': expected one")


def _read_frame(path: Path) -> pd.DataFrame:
    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        first = next((line for _, line in read_lines(path)), "")
        separator = "\t" if "\t" in first else "," if "," in first else r"\s+"
        words = {word.strip().strip('"').lower() for word in re.split(separator, first.strip())}
        header = sum(not words.isdisjoint(names) for names in (*_NAMES.values(), _ORDER)) > 1
        quoting = csv.QUOTE_MINIMAL if header and separator in "\t," else csv.QUOTE_NONE
        # The header is read as a row: pandas then refuses longer rows, whose first field it would take for an index.
        frame = pd.read_csv(
            path, sep=separator, header=None, dtype=str, keep_default_na=False, quoting=quoting
        )
        if header:
            return frame.iloc[1:].set_axis(frame.iloc[0].tolist(), axis=1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise DataError(f"cannot read '{path}' ({reason})") from error
    if frame.shape[1] != len(_TREC):
        raise DataError(
            f"'{path}' has no header with 'user' and 'item', and {frame.shape[1]} columns where the TREC run "
            "format has 6 (user Q0 item rank score tag)"
        )
    return frame.set_axis(_TREC, axis=1)


def _to_ids(raw: Iterable[object], known: Iterable[object], what: str, path: str | Path) -> np.ndarray:
    names = [str(value) for value in raw]
    ids = _places(known, names)
    if (ids < 0).any():
        example = names[int(np.flatnonzero(ids < 0)[0])]
        raise DataError(
            f"{(ids < 0).sum()} rows of '{path}' name a {what} that the data set does not have, "
            f"first '{example}'"
        )
    return ids


def _places(known: Iterable[object], wanted: Iterable[object]) -> np.ndarray:
    """Return where each wanted id stands among the known ones, int64, -1 where it does not."""
    index = pd.Index([str(value) for value in known])
    if index.has_duplicates:
        raise DataError("raw ids are not unique")
    return np.asarray(index.get_indexer(pd.Index([str(value) for value in wanted])), dtype=np.int64)


def evaluate_lists(pairs: RankedPairs, plan: Plan, seed: int = 0) -> Evaluation:
    """Return the metrics of ranked lists under our protocol.

    Masked items are taken out of the lists first; what is not listed is not recommended. Equal scores are ordered
    by the seeded permutation of items, as for every model. `split/short_lists@k` counts users whose list is
    shorter than k although they have that many candidates: their numbers are lower bounds, and so are those of
    `cold_only` and `warm_only`, whose lists are what the given lists hold of them.
    """
    if "auc" in plan.metrics:
        raise ConfigError("'auc' needs a score for every item: ranked lists do not have it")
    evaluation = measure(_rank_pairs(pairs, plan, seed), plan)
    task = plan.task
    open_ = task.num_items - np.diff(task.masked.indptr)[evaluation.users]
    for k in evaluation.ks:
        listed = (evaluation.top_items[:, :k] != NO_ITEM).sum(axis=1)
        short = float((listed < np.minimum(k, open_)).sum())
        evaluation.scalars[f"{task.split}/short_lists@{k}"] = short
    return evaluation


def _rank_pairs(pairs: RankedPairs, plan: Plan, seed: int) -> Ranking:
    task, users, k = plan.task, plan.users, max(plan.ks)
    place = np.full(task.num_users, -1)
    place[users] = np.arange(len(users))
    row, item = task.masked.nonzero()
    known = np.isin(pairs.user * task.num_items + pairs.item, row.astype(np.int64) * task.num_items + item)
    used = ~known & (place[pairs.user] >= 0)
    row, item, score = place[pairs.user[used]], pairs.item[used], pairs.score[used]
    keys = tie_keys(task.num_items, seed, torch.device("cpu")).numpy()
    order = np.lexsort((-keys[item], -score, row))
    row, item, score = row[order], item[order], score[order]
    cold = task.cold()
    kept = {"joint": np.ones(len(item), dtype=bool), "warm_only": ~cold[item], "cold_only": cold[item]}
    relevant = np.sort(task.relevant.pair_keys())
    items, hits = {}, {}
    ties = dict.fromkeys(plan.ks, 0)
    for name in plan.candidates:
        r, i, s = (array[kept[name]] for array in (row, item, score))
        rank = np.arange(len(r)) - np.searchsorted(r, r)
        inside = rank < k
        items[name] = np.full((len(users), k), NO_ITEM, dtype=np.int32)
        items[name][r[inside], rank[inside]] = i[inside]
        hits[name] = np.isin(users[:, None] * task.num_items + items[name], relevant) & (items[name] >= 0)
        if name == "joint":
            equal = (s[1:] == s[:-1]) & (r[1:] == r[:-1])
            ties = {k: int((equal & (rank[1:] == k)).sum()) for k in plan.ks}
    unknown = np.full(len(users), np.nan)
    return Ranking(users, items, hits, ties, unknown, unknown.copy())


def read_embeddings(
    path: str | Path,
    user_ids: Iterable[object],
    item_ids: Iterable[object],
    *,
    user_file: str | Path | None = None,
    item_file: str | Path | None = None,
    similarity: str = "dot",
    name: str = "embeddings",
) -> EmbeddingScorer:
    """Read `user_emb` and `item_emb` of a .safetensors or .npz file, rows brought into our order of ids.

    Args:
        user_file, item_file: text files with one raw id per row of the embeddings; without them the arrays
            `user_ids` and `item_ids` of an .npz file are used, or the rows are taken to be in our order.

    Raises DataError for missing arrays, ids without a vector and unreadable files.
    """
    path = Path(path)
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as file:
                arrays = {key: file[key] for key in file.files}
        else:
            arrays = dict(load_file(path))
    except Exception as error:  # safetensors raises its own kind
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise DataError(f"cannot read '{path}' ({reason}); expected .safetensors or .npz") from error
    sides = []
    for side, known, id_file in (("user", user_ids, user_file), ("item", item_ids, item_file)):
        if f"{side}_emb" not in arrays:
            raise DataError(f"'{path}' has no array '{side}_emb' (found: {', '.join(sorted(arrays))})")
        given = _given_ids(arrays.get(f"{side}_ids"), id_file)
        sides.append(_in_our_order(arrays[f"{side}_emb"], given, known, side, path))
    return EmbeddingScorer(torch.from_numpy(sides[0]), torch.from_numpy(sides[1]), similarity, name)


def _given_ids(array: np.ndarray | None, id_file: str | Path | None) -> list[object] | None:
    if id_file is None:
        return None if array is None else array.tolist()
    try:
        return list(Path(id_file).read_text(encoding="utf-8").splitlines())
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read '{id_file}' ({error})") from error


def _in_our_order(
    emb: np.ndarray, given: Iterable[object] | None, known: Iterable[object], side: str, path: Path
) -> np.ndarray:
    if emb.ndim != 2 or not np.issubdtype(emb.dtype, np.number):
        raise DataError(
            f"'{side}_emb' of '{path}' must be a matrix of numbers, a row for each {side} "
            f"(got {emb.dtype} {list(emb.shape)})"
        )
    emb, wanted = np.ascontiguousarray(emb, dtype=np.float32), [str(value) for value in known]
    if given is None:
        if len(emb) != len(wanted):
            raise DataError(
                f"'{side}_emb' of '{path}' has {len(emb)} rows for the data set's {len(wanted)} {side}s"
            )
        return emb
    given = list(given)
    if len(emb) != len(given):
        raise DataError(f"'{side}_emb' of '{path}' has {len(emb)} rows for {len(given)} {side} ids")
    places = _places(given, wanted)
    if (places < 0).any():
        example = wanted[int(np.flatnonzero(places < 0)[0])]
        raise DataError(
            f"'{path}' has no vector for {(places < 0).sum()} {side}s of the data set, first '{example}'"
        )
    return emb[places]
