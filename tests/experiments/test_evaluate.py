from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from experiments import evaluate as entry
from experiments.cli import run_main
from gnnrec.config import RunConfig
from gnnrec.data.dataset import Dataset, load_dataset
from gnnrec.data.native import write_native
from gnnrec.report.frame import FinishedRun
from gnnrec.report.rivals import by_model
from gnnrec.run import run as run_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, planted: Dataset) -> Path:
    path = tmp_path_factory.mktemp("planted")
    write_native(planted, path)
    return path


def embeddings(path: Path, dataset: Dataset) -> Path:
    generator = torch.Generator().manual_seed(0)
    user, item = (
        torch.randn(n, 4, generator=generator).numpy() for n in (dataset.num_users, dataset.num_items)
    )
    ids = {"user_ids": dataset.users["user_id"].astype(str), "item_ids": dataset.items["item_id"].astype(str)}
    arrays = {name: column.to_numpy(dtype=str) for name, column in ids.items()}
    np.savez(path, user_emb=user, item_emb=item, **arrays)
    return path


def run(*words: object) -> int:
    return run_main(entry.main, [str(word) for word in words])


def test_embeddings_and_their_lists_leave_the_same_run(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = load_dataset(str(folder))
    common = ("--dataset", folder, "--root", tmp_path / "runs", "--split", "cold_item")
    path = embeddings(tmp_path / "e.npz", dataset)
    assert run("--embeddings", path, "--name", "theirs", *common) == 0
    told = capsys.readouterr().out
    assert "cold_only" in told
    scores = pd.DataFrame(
        np.load(path)["user_emb"] @ np.load(path)["item_emb"].T,
        index=dataset.users["user_id"],
        columns=dataset.items["item_id"],
    )
    frame = scores.stack().rename_axis(["user", "item"]).rename("score").reset_index()
    frame.to_parquet(tmp_path / "lists.parquet")
    assert run("--lists", tmp_path / "lists.parquet", "--name", "lists", *common) == 0
    runs = {r.config["model"]["name"]: r for r in map(FinishedRun, (tmp_path / "runs").iterdir())}
    first, second = runs["theirs"].result["metrics"], runs["lists"].result["metrics"]
    assert first["test/cold_only/recall@20"] == pytest.approx(second["test/cold_only/recall@20"])
    assert first["test/ndcg@20"] == pytest.approx(second["test/ndcg@20"])
    assert first["test/ndcg@20"] > 0
    arrays = runs["theirs"].per_user("users", "test/recall@20", "item_degree", "item_hits@20")
    assert len(arrays["users"]) == len(arrays["test/recall@20"])
    assert runs["theirs"].manifest["num_test_scorings"] == 1
    assert json.loads((runs["theirs"].path / "result.json").read_text())["groups"]["head"]["num_items"] > 0
    assert run("--embeddings", path, "--name", "theirs", *common) == 2
    assert "already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "changes"),
    [
        (("--protocol", "legacy_test_selected"), {"protocol": "legacy_test_selected"}),
        (("--refit",), {"eval": {"refit": True}}),
    ],
)
def test_an_evaluation_has_the_groups_of_our_runs(
    words: tuple, changes: dict, folder: Path, tmp_path: Path
) -> None:
    path = embeddings(tmp_path / "e.npz", load_dataset(str(folder)))
    common = ("--dataset", folder, "--split", "cold_item", "--root", tmp_path / "theirs")
    assert run("--embeddings", path, *common, *words) == 0
    config = {
        "dataset": {"name": str(folder)},
        "split": {"name": "cold_item"},
        "tracking": {"mode": "disabled", "root": str(tmp_path / "ours")},
        **changes,
    }
    ours = FinishedRun(run_model(RunConfig.from_dict(config)).path)
    [theirs] = map(FinishedRun, (tmp_path / "theirs").iterdir())
    assert theirs.result["groups"] == ours.result["groups"]
    assert theirs.result["refit"] == ours.result["refit"]
    assert theirs.manifest["fingerprints"]["split"] == ours.manifest["fingerprints"]["split"]
    first, second = (run_.per_user("item_degree")["item_degree"] for run_ in (theirs, ours))
    np.testing.assert_array_equal(first, second)


def test_rated_and_clicked_pairs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text("user,label,prediction\na,1,0.9\na,0,0.4\nb,1,0.6\n")
    assert run("--clicks", path) == 0
    assert "logloss" in capsys.readouterr().out
    assert run("--ratings", path) == 0
    assert "rmse" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--clicks", "none.csv"), "cannot read 'none.csv'"),
        (
            ("--ratings", "none.csv", "--threshold", "0.4"),
            "'--threshold' is read with --clicks, not with --ratings",
        ),
        (
            ("--clicks", "none.csv", "--ks", "5"),
            "'--ks' is read with --lists and --embeddings, not with --clicks",
        ),
        (("--clicks", "none.csv", "--refit"), "'--refit' is read with --lists and --embeddings"),
    ],
)
def test_bad_command_lines_of_pairs(words: tuple, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*words) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "label,prediction\n4,3.5,1\n2,2.5,1\n",
            "more fields than its header, from the first on: expected 2 (label",
        ),
        (
            "label,prediction\n4,3.5,1\n2,2.5\n",
            "more fields than its header, from the first on: expected 2 (label",
        ),
        ("label,prediction\n4,3.5\n2,2.5,1\n", "Expected 2 fields in line 3, saw 3"),
        ("label,label,prediction\n4,3.5,1\n", "pairs.csv' has 2 columns 'label': expected one"),
        ("label,prediction\n4,3.5\n2\n", "1 of 2 predictions are no finite numbers"),
    ],
)
def test_tables_of_pairs_that_cannot_be_used(
    text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text(text)
    assert run("--ratings", path) == 2
    errors = capsys.readouterr().err
    assert message in errors
    assert errors.count("\n") == 1


def test_missing_click_labels_of_any_type(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for dtype in ("boolean", "Int64", "Float64"):
        label = pd.array([1, 0, None], dtype=dtype)
        pd.DataFrame({"label": label, "prediction": [0.9, 0.4, 0.5]}).to_parquet(tmp_path / "pairs.parquet")
        assert run("--clicks", tmp_path / "pairs.parquet") == 2
        assert "1 of 3 labels are no finite numbers" in capsys.readouterr().err


def test_another_scoring_is_another_model_and_other_ids_are_evaluated_anew(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = load_dataset(str(folder))
    arrays = dict(np.load(embeddings(tmp_path / "ids.npz", dataset)))
    path, ids = tmp_path / "e.npz", tmp_path / "ids.txt"
    np.savez(path, user_emb=arrays["user_emb"], item_emb=arrays["item_emb"])
    ids.write_text("\n".join(arrays["item_ids"]))
    common = ("--embeddings", path, "--item-ids", ids, "--dataset", folder, "--root", tmp_path / "runs")
    assert run(*common) == 0
    assert run(*common, "--seed", "1", "--similarity", "cosine") == 0
    assert run(*common, "--seed", "2", "--beyond", "gini") == 0
    runs = [FinishedRun(done.parent) for done in (tmp_path / "runs").glob("*/DONE")]
    assert len(by_model(runs)) == 3
    ids.write_text("\n".join(arrays["item_ids"][::-1]))
    capsys.readouterr()
    assert run(*common) == 0
    assert run(*common) == 2
    assert "already" in capsys.readouterr().err
    assert run(*common[:-4], "--item-ids", tmp_path / "none.txt", *common[-4:]) == 2
    assert "none.txt' (No such file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "one of the arguments"),
        (("--lists", "none.csv"), "cannot read 'none.csv'"),
        (("--lists", "x", "--ks", "ten"), "--ks"),
        (("--listz", "x"), "see --help"),
        (("--embeddings", "x", "--split", "randum"), "did you mean 'random'"),
        (("--lists", "x", "--split-param", "cold"), "KEY=VALUE"),
        (
            ("--lists", "x", "--refit", "--protocol", "legacy_test_selected"),
            "'--refit' needs --protocol honest",
        ),
        (("--lists", "x", "--split-param", "ratios=0.5"), "'ratios' must be three numbers"),
        (("--lists", "x", "--split-seed", "-1"), "'seed' must be in"),
        (("--lists", "x", "--eval-seed", "-1"), "'--eval-seed' must be in"),
        (
            ("--lists", "x", "--similarity", "cosine"),
            "'--similarity' is read with --embeddings, not with --lists",
        ),
        (("--lists", "x", "--item-ids", "y"), "'--item-ids' is read with --embeddings"),
        (("--embeddings", "x", "--threshold", "0.4"), "'--threshold' is read with --clicks, not"),
        (
            ("--clicks", "x", "--ks", "5"),
            "'--dataset' is read with --lists and --embeddings, not with --clicks",
        ),
        (("--embeddings", "x", "--beyond", "gini,ild"), "unknown beyond-accuracy metric 'ild' in '--beyond'"),
    ],
)
def test_bad_command_lines(
    words: tuple, message: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*words, "--dataset", folder, "--root", tmp_path) == 2
    told = capsys.readouterr().err
    assert message in told
    assert told.count("\n") == 1
