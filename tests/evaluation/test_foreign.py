from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import save_file

from gnnrec.errors import ConfigError, DataError
from gnnrec.evaluation.evaluate import evaluate
from gnnrec.evaluation.foreign import evaluate_lists, read_embeddings, read_run
from gnnrec.evaluation.measure import Plan

from .cases import Matrix, make_task

USERS = [f"u{number}" for number in range(30)]
ITEMS = [f"item {number}" for number in range(25)]


def full_run(scores: np.ndarray) -> pd.DataFrame:
    user, item = np.indices(scores.shape)
    names = {"user": [USERS[u] for u in user.ravel()], "item": [ITEMS[i] for i in item.ravel()]}
    return pd.DataFrame({**names, "score": scores.ravel()}).sample(frac=1, random_state=0)


def write_run(frame: pd.DataFrame, path: Path) -> Path:
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    elif path.suffix == ".trec":
        frame = frame.assign(item=frame["item"].str.replace(" ", "_"))
        ranks = frame.groupby("user")["score"].rank(ascending=False).astype(int)
        columns = zip(frame["user"], frame["item"], ranks, frame["score"])
        path.write_text("".join(f"{u} Q0 {i} {r} {s} tag\n" for u, i, r, s in columns))
    else:
        frame.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
    return path


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "tsv", "parquet", "trec"])
@pytest.mark.parametrize("num_cold", [0, 4])
def test_a_full_run_file_is_worth_its_scores(tmp_path: Path, ending: str, num_cold: int) -> None:
    """Lists of all items give every number that the model's scores give, ties included."""
    task = make_task(num_cold=num_cold)
    scores = np.random.default_rng(0).integers(0, 8, (30, 25)).astype(float)
    path = write_run(full_run(scores), tmp_path / f"run.{ending}")
    names = [item.replace(" ", "_") for item in ITEMS] if ending == "trec" else ITEMS
    theirs = evaluate_lists(read_run(path, USERS, names, "x"), Plan(task, (3, 10)), seed=4)
    ours = evaluate(Matrix(scores), task, (3, 10), seed=4)
    assert theirs.per_user.keys() == ours.per_user.keys()
    for key, values in ours.per_user.items():
        np.testing.assert_allclose(theirs.per_user[key], values, err_msg=key)
    for key, value in ours.scalars.items():
        if "gap" not in key:
            assert theirs.scalars[key] == value, key
    assert theirs.scalars["test/short_lists@10"] == 0


def test_ranks_instead_of_scores(tmp_path: Path) -> None:
    task = make_task()
    scores = np.random.default_rng(0).permuted(np.tile(np.arange(25.0), (30, 1)), axis=1)
    frame = full_run(scores)
    frame["rank"] = 25 - frame.pop("score")
    theirs = evaluate_lists(
        read_run(write_run(frame, tmp_path / "r.csv"), USERS, ITEMS, "x"), Plan(task, (5,))
    )
    ours = evaluate(Matrix(scores), task, (5,))
    assert theirs.metrics()["test/ndcg@5"] == pytest.approx(ours.metrics()["test/ndcg@5"])


def test_short_lists_are_counted_and_not_filled_up(tmp_path: Path) -> None:
    task = make_task()
    frame = full_run(np.random.default_rng(0).random((30, 25)))
    frame = frame[frame["item"] == ITEMS[-1]]
    result = evaluate_lists(
        read_run(write_run(frame, tmp_path / "r.csv"), USERS, ITEMS, "x"), Plan(task, (5,))
    )
    assert result.scalars["test/short_lists@5"] == len(result.users)
    assert ((result.top_items >= 0).sum(axis=1) <= 1).all()
    masked = task.masked.toarray() > 0
    for user, row in zip(result.users, result.top_items):
        assert (row[0] == -1) == masked[user, 24]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("user,item,score\nu1,item 99,1\n", "1 rows of .* name a item .* first 'item 99'"),
        ("user,item,score\nghost,item 1,1\n", "name a user that the data set does not have, first 'ghost'"),
        ("user,item,score\nu1,item 1,1\nu1,item 1,2\n", "1 pairs more than once"),
        ("user,item,score\nu1,item 1,nan\n", "1 of 1 scores of 'model'"),
        ("user,item\nu1,item 1\n", "no column 'score or rank'"),
        ("user,score\nu1,1\n", "no column 'item'"),
        ("user,item,score,score\nu1,item 1,1,2\n", "has 2 columns 'score': expected one"),
        ("user,item,user,score\nu1,item 1,u2,1\n", "has 2 columns 'user': expected one"),
        ("u1,item 1,3\n", "3 columns where the TREC run format has 6"),
        ("user,item,score\nu1,item 1,1\nu1,item 2,2,3\n", "Expected 3 fields in line 3, saw 4"),
        ("user,item,score\nu1,u2,item 1,1\n", "Expected 3 fields in line 2, saw 4"),
        ("user item score\nu1 item1\n", "1 of 1 scores of 'model'"),
        ("", "cannot read"),
        ("user,item,score\n", "holds no rows"),
    ],
)
def test_run_files_that_cannot_be_used(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "run.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_run(path, USERS, ITEMS, "model")


@pytest.mark.parametrize(
    ("ending", "text"),
    [
        ("csv", "user,item,score\nNA,null,2\nNone,nan,1\n"),
        ("tsv", "user\titem\tscore\nNA\tnull\t2\nNone\tnan\t1\n"),
        ("txt", "user item score\nNA null 2\nNone nan 1\n"),
        ("trec", "NA Q0 null 1 2 item\nNone Q0 nan 2 1 item\n"),
    ],
)
def test_ids_that_look_like_missing_values_are_ids(tmp_path: Path, ending: str, text: str) -> None:
    path = tmp_path / f"run.{ending}"
    path.write_text(text)
    pairs = read_run(path, ["u0", "NA", "None"], ["nan", "null"], "x")
    assert (pairs.user.tolist(), pairs.item.tolist(), pairs.score.tolist()) == ([1, 2], [1, 0], [2, 1])


def test_quotes_are_part_of_trec_ids(tmp_path: Path) -> None:
    (tmp_path / "run.trec").write_text('u1 Q0 "a 1 2 tag\nu1 Q0 b 2 1 tag\nu1 Q0 "c 3 0 tag\n')
    assert read_run(tmp_path / "run.trec", ["u1"], ['"a', "b", '"c'], "x").item.tolist() == [0, 1, 2]
    (tmp_path / "run.csv").write_text('"user","item","score"\n"u1","a,b",1\n')
    assert read_run(tmp_path / "run.csv", ["u1"], ["a,b"], "x").item.tolist() == [0]


def test_a_run_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read .*No such file"):
        read_run(tmp_path / "none.csv", USERS, ITEMS, "x")


def test_lists_have_no_auc() -> None:
    task = make_task()
    frame = full_run(np.zeros((30, 25)))
    with pytest.raises(ConfigError, match="every item"):
        evaluate_lists(_pairs(frame), Plan(task, metrics=("auc",)))


def _pairs(frame: pd.DataFrame):
    from gnnrec.evaluation.foreign import RankedPairs

    user = frame["user"].str[1:].astype(int).to_numpy()
    item = frame["item"].str.split().str[1].astype(int).to_numpy()
    return RankedPairs("x", user, item, frame["score"].to_numpy())


def test_embeddings_by_raw_id(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    user, item = (rng.normal(size=(n, 4)).astype(np.float32) for n in (30, 25))
    expected = torch.from_numpy(user @ item.T)
    at = rng.permutation(25)
    np.savez(tmp_path / "e.npz", user_emb=user, item_emb=item[at], item_ids=np.array(ITEMS)[at])
    scorer = read_embeddings(tmp_path / "e.npz", USERS, ITEMS)
    torch.testing.assert_close(scorer.scores(torch.arange(30)), expected)
    save_file({"user_emb": user, "item_emb": item[at]}, tmp_path / "e.safetensors")
    (tmp_path / "ids.txt").write_text("\n".join(ITEMS[place] for place in at) + "\n")
    scorer = read_embeddings(tmp_path / "e.safetensors", USERS, ITEMS, item_file=tmp_path / "ids.txt")
    torch.testing.assert_close(scorer.scores(torch.arange(30)), expected)


def test_embeddings_that_cannot_be_used(tmp_path: Path) -> None:
    user, item = np.ones((30, 2), np.float32), np.ones((24, 2), np.float32)
    path = tmp_path / "e.npz"
    np.savez(path, user_emb=user, item_emb=item)
    with pytest.raises(DataError, match=r"'item_emb' of .* has 24 rows for the data set's 25 items"):
        read_embeddings(path, USERS, ITEMS)
    np.savez(path, user_emb=user, item_emb=item, item_ids=np.array(ITEMS[1:]))
    with pytest.raises(DataError, match="no vector for 1 items of the data set, first 'item 0'"):
        read_embeddings(path, USERS, ITEMS)
    np.savez(path, user_emb=user)
    with pytest.raises(DataError, match="no array 'item_emb'"):
        read_embeddings(path, USERS, ITEMS)
    for wrong in (np.full((30, 2), "x"), np.ones(30)):
        np.savez(path, user_emb=wrong, item_emb=np.ones((25, 2)))
        with pytest.raises(DataError, match=r"'user_emb' of .* must be a matrix of numbers"):
            read_embeddings(path, USERS, ITEMS)
    path.write_bytes(b"no archive")
    with pytest.raises(DataError, match="cannot read"):
        read_embeddings(path, USERS, ITEMS)
    np.savez(path, user_emb=np.array([{}]), item_emb=item)  # a pickle inside
    with pytest.raises(DataError, match="cannot read"):
        read_embeddings(path, USERS, ITEMS)
