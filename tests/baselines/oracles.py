"""Dense, slow, obvious versions of the baselines, in float64."""

from __future__ import annotations

import numpy as np


def top_k(matrix: np.ndarray, k: int) -> np.ndarray:
    """Keep the k largest positive entries of each row, equal ones by lower column."""
    kept = np.zeros_like(matrix)
    for row in range(len(matrix)):
        order = sorted(range(matrix.shape[1]), key=lambda column: (-matrix[row, column], column))
        for column in order[:k]:
            kept[row, column] = max(matrix[row, column], 0)
    return kept


def similarity(rows: np.ndarray, kind: str, shrink: float) -> np.ndarray:
    """Similarity of every two rows of a matrix, 0 on the diagonal."""
    result = np.zeros((len(rows), len(rows)))
    for i, a in enumerate(rows):
        for j, b in enumerate(rows):
            common = a @ b
            if i == j or (common == 0 and kind != "pearson"):
                continue
            if kind == "dot":
                result[i, j] = common
            elif kind == "cosine":
                result[i, j] = common / (np.sqrt(a @ a) * np.sqrt(b @ b) + shrink)
            elif kind == "jaccard":
                result[i, j] = common / (a @ a + b @ b - common + shrink)
            elif a.std() > 0 and b.std() > 0:
                result[i, j] = np.corrcoef(a, b)[0, 1]
    return result


def walk_weights(history: np.ndarray, alpha: float, beta: float) -> np.ndarray:
    """W_ji of RP3beta by its definition, before any cut."""
    users, items = history.sum(axis=1), history.sum(axis=0)
    size = history.shape[1]
    weights = np.zeros((size, size))
    for j in range(size):
        for i in range(size):
            for v in range(len(history)):
                if i != j and history[v, i] and history[v, j]:
                    weights[j, i] += (1 / items[j]) ** alpha * (1 / users[v]) ** alpha / items[i] ** beta
    return weights


def row_normalized(matrix: np.ndarray) -> np.ndarray:
    """Divide rows by their sum; empty rows stay."""
    total = matrix.sum(axis=1, keepdims=True)
    return np.divide(matrix, total, out=np.zeros_like(matrix), where=total > 0)


def ease_weights(history: np.ndarray, l2: float) -> np.ndarray:
    """B of EASE column by column: a ridge regression of each item on all others."""
    size = history.shape[1]
    weights = np.zeros((size, size))
    for j in range(size):
        others = [i for i in range(size) if i != j]
        x = history[:, others]
        weights[others, j] = np.linalg.solve(x.T @ x + l2 * np.eye(size - 1), x.T @ history[:, j])
    return weights


def pulled_weights(history: np.ndarray, target: np.ndarray, l2: float, pull: float) -> np.ndarray:
    """argmin |X - X B|^2 + l2 |B|^2 + pull |B - C|^2 with zero diagonal, column by column."""
    size = history.shape[1]
    weights = np.zeros((size, size))
    for j in range(size):
        others = [i for i in range(size) if i != j]
        x = history[:, others]
        system = x.T @ x + (l2 + pull) * np.eye(size - 1)
        weights[others, j] = np.linalg.solve(system, x.T @ history[:, j] + pull * target[others, j])
    return weights
