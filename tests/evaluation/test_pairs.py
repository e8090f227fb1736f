from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from gnnrec.errors import ConfigError, DataError
from gnnrec.evaluation.pairs import auc, click_metrics, rating_metrics

LABEL = np.array([1, 0, 1, 1, 0, 0])
PROBABILITY = np.array([0.9, 0.4, 0.6, 0.3, 0.3, 0.1])


def test_ratings() -> None:
    assert rating_metrics(np.array([1, 2, 5]), np.array([2, 2, 3])) == {
        "rmse": pytest.approx(np.sqrt(5 / 3)),
        "mae": pytest.approx(1.0),
    }


def test_clicks_by_hand() -> None:
    result = click_metrics(LABEL, PROBABILITY, num_bins=2)
    picked = [0.9, 0.6, 0.6, 0.3, 0.7, 0.9]  # probability given to what happened
    assert result["logloss"] == pytest.approx(-np.mean(np.log(picked)))
    assert result["auc"] == pytest.approx((3 + 3 + 1.5) / 9)
    assert result["accuracy"] == pytest.approx(5 / 6)
    assert (result["precision"], result["recall"], result["f1"]) == (
        1,
        pytest.approx(2 / 3),
        pytest.approx(0.8),
    )
    assert result["ece"] == pytest.approx((2 * abs(1 - 0.75) + 4 * abs(0.25 - 0.275)) / 6)
    assert result["copc"] == pytest.approx(3 / 2.6)


def test_auc_counts_the_pairs() -> None:
    rng = np.random.default_rng(0)
    label, score = rng.integers(0, 2, 200), rng.integers(0, 10, 200)
    good, bad = score[label == 1][:, None], score[label == 0]
    assert auc(label, score) == pytest.approx(((good > bad) + 0.5 * (good == bad)).mean())


def test_equals_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(1)
    label, probability = rng.integers(0, 2, 500), rng.random(500).round(2)
    result = click_metrics(label, probability)
    predicted = probability >= 0.5
    assert result["auc"] == pytest.approx(metrics.roc_auc_score(label, probability))
    assert result["f1"] == pytest.approx(metrics.f1_score(label, predicted))
    assert result["precision"] == pytest.approx(metrics.precision_score(label, predicted))
    inner = np.clip(probability, 1e-7, 1 - 1e-7)
    assert result["logloss"] == pytest.approx(metrics.log_loss(label, inner))


def test_grouped_auc_weighs_users_by_their_pairs() -> None:
    user = np.array([0, 0, 1, 1, 1, 2])
    result = click_metrics(LABEL, PROBABILITY, user=user)
    # user 0: 1.0 with 2 pairs; user 1: clicks .6 and .3 against .3: .75 with 3 pairs; user 2 has one label only
    assert result["gauc"] == pytest.approx((2 * 1 + 3 * 0.75) / 5)


def test_certain_and_wrong_is_finite() -> None:
    assert click_metrics(np.array([1, 0]), np.array([0.0, 1.0]))["logloss"] == pytest.approx(
        -np.log(1e-7), rel=1e-3
    )


def test_one_label_only() -> None:
    result = click_metrics(np.zeros(3), np.zeros(3))
    assert np.isnan(result["auc"])
    assert np.isnan(result["recall"])
    assert np.isnan(result["copc"])


@pytest.mark.parametrize(
    ("label", "prediction", "message"),
    [
        ([0, 2], [0.1, 0.2], "must be 0 or 1"),
        ([0, 1], [0.1, 1.2], r"must be in \[0, 1\]"),
        ([0, 1], [0.1], "one length"),
        ([], [], "no pair"),
        ([0, 1], [0.1, float("nan")], "1 of 2 predictions"),
    ],
)
def test_bad_pairs(label: list, prediction: list, message: str) -> None:
    with pytest.raises(DataError, match=message):
        click_metrics(np.array(label, dtype=float), np.array(prediction, dtype=float))


def test_bad_threshold() -> None:
    with pytest.raises(ConfigError, match="threshold"):
        click_metrics(LABEL, PROBABILITY, threshold=2)


def test_pairs_without_a_user_are_in_no_users_auc() -> None:
    y, p = np.array([1, 0, 1, 0]), np.array([0.9, 0.1, 0.2, 0.8])
    for missing in (None, np.nan):
        user = np.array(["a", "a", missing, missing], dtype=object)
        assert click_metrics(y, p, user=user)["gauc"] == 1
    assert np.isnan(click_metrics(y, p, user=np.array([None] * 4, dtype=object))["gauc"])


def test_missing_values_of_pandas_are_missing() -> None:
    label = pd.Series([True, False, None], dtype="boolean").to_numpy()
    with pytest.raises(DataError, match="1 of 3 labels are no finite numbers"):
        click_metrics(label, np.array([0.9, 0.4, 0.5]))
    assert click_metrics(label[:2], np.array([0.9, 0.4])) == click_metrics(LABEL[:2], PROBABILITY[:2])
