"""Rating and click prediction on held-out pairs: errors of ratings, and quality of click probabilities."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from gnnrec.errors import DataError, check_range


def rating_metrics(label: np.ndarray, prediction: np.ndarray) -> dict[str, float]:
    """Return rmse = sqrt(mean (y - p)^2) and mae = mean |y - p| of predicted ratings."""
    y, p = _checked(label, prediction)
    return {"rmse": float(np.sqrt(np.mean((y - p) ** 2))), "mae": float(np.mean(np.abs(y - p)))}


def click_metrics(
    label: np.ndarray,
    probability: np.ndarray,
    *,
    threshold: float = 0.5,
    num_bins: int = 15,
    user: np.ndarray | None = None,
) -> dict[str, float]:
    """Return the metrics of click probabilities p for labels y of 0 and 1.

    - logloss: -mean(y ln p + (1 - y) ln(1 - p)), p clipped to [1e-7, 1 - 1e-7] (float32 has no closer number).
    - auc: P(p of a click > p of a non-click), equal ones count one half (Mann-Whitney).
    - gauc, where `user` is given: AUC of each user with both labels, weighted by their number of pairs (Zhu et
      al., 2017, https://doi.org/10.1145/3097983.3098134); pairs whose user is missing (None, NaN) are left out.
    - accuracy, precision, recall, f1 of the prediction p >= threshold; precision is 0 where nothing is predicted.
    - ece: expected calibration error, sum over equally wide bins of share of pairs * |mean y - mean p| (Naeini,
      Cooper and Hauskrecht, 2015).
    - copc: clicks over predicted clicks, sum y / sum p.

    Raises DataError for labels other than 0 and 1 and for p outside [0, 1].
    """
    check_range("threshold", threshold, "click_metrics", low=0, high=1)
    check_range("num_bins", num_bins, "click_metrics", low=1)
    y, p = _checked(label, probability)
    if not np.isin(y, (0, 1)).all():
        raise DataError(f"click labels must be 0 or 1 (got {y[~np.isin(y, (0, 1))][0]})")
    if (p < 0).any() or (p > 1).any():
        raise DataError(f"click probabilities must be in [0, 1] (got {p[(p < 0) | (p > 1)][0]})")
    clipped = np.clip(p, 1e-7, 1 - 1e-7)
    result = {
        "logloss": float(-np.mean(y * np.log(clipped) + (1 - y) * np.log(1 - clipped))),
        "auc": auc(y, p),
        **_at_threshold(y, p >= threshold),
        "ece": _calibration_error(y, p, int(num_bins)),
        "copc": float(y.sum() / p.sum()) if p.sum() else float("nan"),
    }
    return result | ({} if user is None else {"gauc": _grouped_auc(y, p, np.asarray(user))})


def auc(label: np.ndarray, score: np.ndarray) -> float:
    """Return the area under the ROC curve from mid-ranks; NaN where one label is missing."""
    num_positive = int(label.sum())
    num_negative = len(label) - num_positive
    if not num_positive or not num_negative:
        return float("nan")
    ranks = stats.rankdata(score)[label == 1].sum()
    return float((ranks - num_positive * (num_positive + 1) / 2) / (num_positive * num_negative))


def _grouped_auc(label: np.ndarray, score: np.ndarray, user: np.ndarray) -> float:
    codes, _ = pd.factorize(user)  # -1 where missing
    order = np.argsort(codes, kind="stable")[np.count_nonzero(codes < 0) :]
    bounds = np.flatnonzero(np.diff(codes[order])) + 1
    groups = np.split(order, bounds)
    values = np.array([auc(label[rows], score[rows]) for rows in groups])
    weights = np.array([len(rows) for rows in groups]) * np.isfinite(values)
    return float(np.nansum(values * weights) / weights.sum()) if weights.any() else float("nan")


def _at_threshold(label: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    true = float((label * predicted).sum())
    precision = true / predicted.sum() if predicted.any() else 0.0
    recall = true / label.sum() if label.any() else float("nan")
    both = predicted.sum() + label.sum()
    return {
        "accuracy": float((label == predicted).mean()),
        "precision": float(precision),
        "recall": float(recall),
        "f1": float(2 * true / both) if both else float("nan"),
    }


def _calibration_error(label: np.ndarray, probability: np.ndarray, num_bins: int) -> float:
    place = np.minimum((probability * num_bins).astype(np.int64), num_bins - 1)
    gap = np.bincount(place, label, num_bins) - np.bincount(place, probability, num_bins)
    return float(np.abs(gap).sum() / len(label))


def _checked(label: np.ndarray, prediction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    y, p = _numbers(label), _numbers(prediction)
    if y.ndim != 1 or y.shape != p.shape:
        raise DataError(f"labels and predictions must be two lists of one length (got {y.shape}, {p.shape})")
    if not len(y):
        raise DataError("there is no pair to evaluate")
    for name, values in (("labels", y), ("predictions", p)):
        if not np.isfinite(values).all():
            raise DataError(f"{(~np.isfinite(values)).sum()} of {len(values)} {name} are no finite numbers")
    return y, p


def _numbers(values: np.ndarray) -> np.ndarray:
    array = np.asarray(values)
    if array.dtype == object:  # what pandas makes of its own missing values, which are no float
        array = np.where(pd.isna(array), np.nan, array)
    return array.astype(np.float64)
