from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gnnrec.errors import ConfigError, GnnrecError
from gnnrec.evaluation.evaluate import evaluate
from gnnrec.evaluation.metrics import ALL_METRICS, METRICS
from gnnrec.evaluation.ranking import _gaps
from gnnrec.evaluation.result import describe_groups
from gnnrec.evaluation.scorers import EmbeddingScorer
from gnnrec.evaluation.task import Task

from .cases import Matrix, brute_lists, brute_metrics, make_task, task_of


def check_against_brute_force(scores: np.ndarray, task: Task, scorer: object, k: int, seed: int) -> None:
    """Compare every per-user number of every group and candidate set."""
    result = evaluate(scorer, task, (k,), seed, metrics=tuple(METRICS))  # pyright: ignore[reportArgumentType]
    cold = task.cold()
    everything = np.ones_like(cold)
    sets = {"": (everything, everything)} | {name: (m, everything) for name, m in task.items.members.items()}
    if cold[task.relevant.item].any() and not cold.all():
        sets |= {"warm": (~cold, everything), "warm_only": (~cold, ~cold), "cold_only": (cold, cold)}
    else:
        sets.pop("cold", None)
    relevant = task.relevant.csr().toarray() > 0
    assert result.users.tolist() == np.flatnonzero(relevant.any(axis=1)).tolist()
    assert result.num_left_out == task.num_users - len(result.users)
    groups = {key.split("/")[1] for key in result.per_user if key.count("/") == 2}
    assert groups == set(sets) - {""}
    for name, (member, allowed) in sets.items():
        lists = brute_lists(scores, task, allowed, seed, k)
        prefix = f"test/{name}/" if name else "test/"
        for place, user in enumerate(result.users):
            items = set(np.flatnonzero(relevant[user] & member).tolist())
            for metric in METRICS:
                value = result.per_user[f"{prefix}{metric}@{k}"][place]
                if not items:
                    assert np.isnan(value)
                else:
                    expected = brute_metrics(lists[int(user)], items, k)[metric]
                    assert value == pytest.approx(expected, abs=1e-12), (name, metric, user)
    lists = brute_lists(scores, task, everything, seed, k)
    for place, user in enumerate(result.users):
        shown = [item for item in result.top_items[place].tolist() if item >= 0]
        assert shown == lists[int(user)]


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    k=st.sampled_from([1, 3, 10, 40]),
    levels=st.sampled_from([1, 2, 4, 10**6]),
    num_cold=st.integers(0, 6),
)
def test_equals_brute_force(seed: int, k: int, levels: int, num_cold: int) -> None:
    task = make_task(12, 15, 0.4, num_cold, seed=seed)
    if not len(task.relevant):
        return
    scores = np.random.default_rng(seed).integers(0, levels, (12, 15)).astype(np.float32)
    check_against_brute_force(scores, task, Matrix(scores), k, seed % 7)


@pytest.mark.parametrize("num_cold", [0, 5])
def test_embeddings_equal_brute_force(num_cold: int) -> None:
    task = make_task(20, 60, num_cold=num_cold)
    generator = torch.Generator().manual_seed(0)
    emb = [torch.randint(-3, 4, (size, 8), generator=generator).float() for size in (20, 60)]
    scores = (emb[0] @ emb[1].T).numpy()  # whole numbers: many ties, no rounding
    check_against_brute_force(scores, task, EmbeddingScorer(emb[0], emb[1]), 7, 1)


def test_one_item_and_fewer_candidates_than_k() -> None:
    one = task_of(np.zeros((2, 1), bool), np.ones((2, 1), bool))
    result = evaluate(Matrix(np.zeros((2, 1))), one, (10,))
    assert result.metrics()["test/recall@10"] == 1
    assert result.metrics()["test/ndcg@10"] == 1
    assert result.metrics()["test/precision@10"] == pytest.approx(0.1)
    assert result.top_items.tolist() == [[0] + [-1] * 9] * 2


def test_everything_masked_scores_nothing() -> None:
    train = np.ones((3, 4), bool)
    held = np.eye(3, 4, dtype=bool)
    result = evaluate(Matrix(np.ones((3, 4))), task_of(train, held), (2,))
    assert result.metrics()["test/recall@2"] == 0
    assert (result.top_items == -1).all()
    assert result.metrics()["test/ties@2"] == 0
    assert np.isnan(result.metrics()["test/novelty@2"])


def test_a_task_without_a_relevant_pair_is_refused() -> None:
    task = task_of(np.ones((2, 2), bool), np.zeros((2, 2), bool))
    with pytest.raises(ConfigError, match="no relevant pair"):
        evaluate(Matrix(np.ones((2, 2))), task)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_scores_that_are_not_finite_are_refused(bad: float) -> None:
    task = make_task()
    scores = np.zeros((30, 25))
    user = int(task.relevant.user[0])
    scores[user, [1, 5]] = bad
    with pytest.raises(GnnrecError, match=r"^2 of \d+ scores of 'broken'"):
        evaluate(Matrix(scores, "broken"), task)


def test_embeddings_that_are_not_finite_are_refused() -> None:
    task = make_task()
    item_emb = torch.ones(25, 2)
    item_emb[4, 1] = float("nan")
    with pytest.raises(GnnrecError, match=r"0 of \d+ user vectors and 1 of 25 item vectors of 'nan model'"):
        evaluate(EmbeddingScorer(torch.ones(30, 2), item_emb, name="nan model"), task)


def test_products_that_overflow_are_refused() -> None:
    task = make_task()
    scorer = EmbeddingScorer(torch.full((30, 2), 3e30), torch.full((25, 2), 3e30))
    with pytest.raises(GnnrecError, match="are NaN or infinite"):
        evaluate(scorer, task)


def test_embeddings_must_give_the_scores() -> None:
    class Scaled(EmbeddingScorer):
        def scores(self, user: torch.Tensor) -> torch.Tensor:
            return super().scores(user) * 2 + 1

    with pytest.raises(GnnrecError, match="not the products"):
        evaluate(Scaled(torch.ones(30, 2), torch.ones(25, 2)), make_task())


def test_scores_of_a_wrong_shape_are_refused() -> None:
    with pytest.raises(
        GnnrecError, match=r"scores of 'matrix' must be a tensor \[\d+, 25\] \(got \[\d+, 24\]\)"
    ):
        evaluate(Matrix(np.zeros((30, 24))), make_task())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"metrics": ("ndgc",)}, "did you mean 'ndcg'"),
        ({"beyond": ("genie",)}, "did you mean 'gini'"),
        ({"ks": (0,)}, r"'ks' must be in \[1, 10000\]"),
        ({"ks": (10**18,)}, r"'ks' must be in \[1, 10000\]"),
        ({"metrics": ()}, "at least one metric"),
        ({"ks": ()}, "at least one cutoff"),
        ({"ks": (2.5,)}, "whole numbers"),
        ({"beyond": ("ild",)}, "item_vectors"),
        ({"beyond": ("miscalibration",)}, "item_categories"),
    ],
)
def test_bad_arguments(arguments: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        evaluate(Matrix(np.zeros((30, 25))), make_task(), **arguments)


def test_a_constant_scorer_scores_like_chance() -> None:
    """Over seeds, the expected recall is k / candidates of each user."""
    task = make_task(200, 50, seed=3, num_cold=0)
    scorer = Matrix(np.ones((200, 50)))
    results = [evaluate(scorer, task, (5,), seed=seed) for seed in range(200)]
    open_ = task.num_items - np.asarray(task.masked.sum(axis=1)).ravel()
    chance = (5 / open_[results[0].users]).mean()
    recalls = [result.metrics()["test/recall@5"] for result in results]
    error = np.std(recalls, ddof=1) / np.sqrt(len(recalls))
    assert abs(np.mean(recalls) - chance) < 4 * error
    assert results[0].metrics()["test/ties@5"] == len(results[0].users)


def test_item_ids_do_not_matter_to_the_tied() -> None:
    """The first and the last items are found equally often by a constant scorer."""
    train, held = np.zeros((40, 30), bool), np.zeros((40, 30), bool)
    held[:20, 0] = held[20:, 29] = True
    scorer = Matrix(np.zeros((40, 30)))
    found = [
        evaluate(scorer, task_of(train, held), (10,), seed).per_user["test/recall@10"] for seed in range(300)
    ]
    low, high = np.mean(found, axis=0)[:20].mean(), np.mean(found, axis=0)[20:].mean()
    assert abs(low - 1 / 3) < 0.1
    assert abs(high - 1 / 3) < 0.1


def test_blocks_of_any_size_give_the_same() -> None:
    task = make_task(50, 40)
    scores = np.random.default_rng(0).integers(0, 6, (50, 40))
    whole = evaluate(Matrix(scores), task, metrics=ALL_METRICS)
    small = evaluate(Matrix(scores), task, metrics=ALL_METRICS, memory=5 * 40 * 3)
    assert whole.per_user.keys() == small.per_user.keys()
    for key, values in whole.per_user.items():
        np.testing.assert_array_equal(values, small.per_user[key])
    np.testing.assert_equal(whole.scalars, small.scalars)


def test_users_are_independent() -> None:
    """Permuting the users permutes the arrays and changes no mean."""
    task = make_task(40, 30, num_cold=3)
    scores = np.random.default_rng(1).integers(0, 9, (40, 30))
    order = np.random.default_rng(2).permutation(40)
    train, held = task.masked.toarray() > 0, task.relevant.csr().toarray() > 0
    moved = evaluate(Matrix(scores[order]), task_of(train[order], held[order]), (5,))
    result = evaluate(Matrix(scores), task, (5,))
    place = {user: at for at, user in enumerate(result.users.tolist())}
    rows = [place[user] for user in order[moved.users].tolist()]
    for key, values in result.per_user.items():
        np.testing.assert_allclose(moved.per_user[key], values[rows], err_msg=key)


def test_the_scorer_is_left_alone() -> None:
    matrix = torch.zeros(1, 25)

    class Popular:
        def scores(self, user: torch.Tensor) -> torch.Tensor:
            return matrix.expand(len(user), -1)

    evaluate(Popular(), make_task())
    assert torch.equal(matrix, torch.zeros(1, 25))


def test_the_cheap_form_is_the_same_number() -> None:
    task = make_task()
    scorer = Matrix(np.random.default_rng(0).random((30, 25)))
    cheap = evaluate(scorer, task, (5,), metrics=("ndcg",), groups=False)
    assert set(cheap.metrics()) == {"test/ndcg@5", "test/ties@5"}
    full = evaluate(scorer, task, (5, 10))
    assert cheap.metrics()["test/ndcg@5"] == full.metrics()["test/ndcg@5"]


def test_user_groups_are_means_over_their_users() -> None:
    task = make_task(60, 30)
    result = evaluate(
        Matrix(np.random.default_rng(0).random((60, 30))), task, (5,), beyond=("user_fairness",)
    )
    numbers = result.metrics()
    means = []
    for name, member in task.users.members.items():
        mean = result.per_user["test/recall@5"][member[result.users]].mean()
        assert numbers[f"test/{name}/recall@5"] == pytest.approx(mean)
        means.append(mean)
    assert numbers["test/user_gap_recall@5"] == pytest.approx(max(means) - min(means))
    assert numbers["test/user_std_recall@5"] == pytest.approx(np.std(means))


@pytest.mark.parametrize("metrics", [("recall",), ("auc",)])
def test_evaluated_users_of_a_group_are_counted_whatever_is_measured(metrics: tuple[str, ...]) -> None:
    task = make_task(60, 30)
    result = evaluate(Matrix(np.random.default_rng(0).random((60, 30))), task, (5,), metrics=metrics)
    described = describe_groups(task, task.relevant, result)
    relevant = task.relevant.csr().toarray() > 0
    for name, member in task.items.members.items():
        assert described[name]["num_evaluated_users"] == relevant[:, member].any(axis=1).sum() > 0
    for name, member in task.users.members.items():
        assert described[name]["num_evaluated_users"] == (relevant.any(axis=1) & member).sum() > 0


def test_the_score_gap_is_cold_minus_warm() -> None:
    task = make_task(20, 15, num_cold=4)
    scores = np.random.default_rng(0).random((20, 15)).astype(np.float32)
    open_ = task.masked.toarray() == 0
    cold = task.cold()
    users = np.unique(task.relevant.user)
    gaps = [scores[u, cold & open_[u]].mean() - scores[u, ~cold & open_[u]].mean() for u in users]
    expected = pytest.approx(np.mean(gaps), abs=1e-6)
    assert evaluate(Matrix(scores), task).metrics()["test/cold_score_gap"] == expected
    generator = torch.Generator().manual_seed(0)
    emb = EmbeddingScorer(torch.randn(20, 6, generator=generator), torch.randn(15, 6, generator=generator))
    by_matrix = evaluate(Matrix(emb.scores(torch.arange(20))), task).metrics()
    assert evaluate(emb, task).metrics()["test/cold_score_gap"] == pytest.approx(
        by_matrix["test/cold_score_gap"], abs=1e-5
    )


def test_a_user_whose_cold_items_are_all_masked_has_no_score_gap() -> None:
    """The sum over no candidates is what rounding left of a difference, and no user's infinity is in the mean."""
    columns = SimpleNamespace(parts=[slice(0, 3), slice(3, 4)])
    masked = (torch.tensor([0, 1]), torch.tensor([3, 0]))
    gaps = _gaps(torch.tensor([[1.0, 1e-7], [4.0, 5.0]], dtype=torch.float64), masked, columns)  # pyright: ignore[reportArgumentType]
    np.testing.assert_array_equal(gaps, [np.nan, 3.0])


def test_auc_equals_the_counted_pairs() -> None:
    task = make_task(25, 20, seed=5)
    scores = np.random.default_rng(0).integers(0, 8, (25, 20))
    result = evaluate(Matrix(scores), task, metrics=ALL_METRICS)
    masked, relevant = task.masked.toarray() > 0, task.relevant.csr().toarray() > 0
    weights = relevant.sum(axis=1)[result.users]
    for place, user in enumerate(result.users):
        good = scores[user, relevant[user] & ~masked[user]]
        bad = scores[user, ~relevant[user] & ~masked[user]]
        pairs = (good[:, None] > bad).mean() + 0.5 * (good[:, None] == bad).mean()
        assert result.per_user["test/auc"][place] == pytest.approx(pairs, abs=1e-12)
    mean = (result.per_user["test/auc"] * weights).sum() / weights.sum()
    assert result.metrics()["test/gauc"] == pytest.approx(mean)
