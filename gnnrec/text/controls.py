"""Controls: what text vectors must beat before meaning may be claimed."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import svds

from gnnrec.errors import ConfigError, DataError

BAG_OF_WORDS_DIM = 256
_PLACEHOLDER = "item"
_WORD = re.compile(r"\w+", re.UNICODE)


def shuffle(vectors: np.ndarray, seed: int, present: np.ndarray | None = None) -> np.ndarray:
    """Return the same vectors given to other rows at random: same cloud, no meaning.

    Rows where `present` (bool [n]) is False keep their place. No row keeps its own vector, if there are two
    or more.
    """
    return vectors[shuffled_rows(len(vectors), seed, present)]


def shuffled_rows(num_rows: int, seed: int, present: np.ndarray | None = None) -> np.ndarray:
    """Return the row that each row's vector comes from when vectors are shuffled: int64 [num_rows] (see shuffle)."""
    rows = np.arange(num_rows) if present is None else np.flatnonzero(present)
    order = np.random.default_rng(seed).permutation(rows)
    source = np.arange(num_rows)
    # Each row of a random cycle gets the next row's vector, so none stays where it was.
    source[order] = np.roll(order, 1)
    return source


def gaussian(vectors: np.ndarray, seed: int, fit_rows: np.ndarray) -> np.ndarray:
    """Return normal random vectors with the mean and covariance of the rows `fit_rows` (bool [n]).

    Two rows with equal vectors get different random ones. Shapes: [n, d] -> [n, d].
    """
    fitted = vectors[fit_rows].astype(np.float64)
    if len(fitted) < 2:
        raise DataError(f"text.control=gaussian needs at least 2 training rows with text (got {len(fitted)})")
    mean = fitted.mean(axis=0)
    values, directions = np.linalg.eigh(np.cov(fitted, rowvar=False, bias=True).reshape(len(mean), -1))
    noise = np.random.default_rng(seed).standard_normal(vectors.shape)
    return (mean + (noise * np.sqrt(np.maximum(values, 0))) @ directions.T).astype(np.float32)


def bag_of_words(texts: Sequence[str], fit_rows: np.ndarray, dim: int = BAG_OF_WORDS_DIM) -> np.ndarray:
    """Return TF-IDF vectors reduced by a truncated SVD, both fitted on the rows `fit_rows` (bool [n]).

    Words are lower-cased runs of letters and digits; weight = (1 + ln count) * (ln((1 + n) / (1 + df)) + 1)
    with n and df counted on the fitted rows; rows are scaled to length one, then x V_k (latent semantic
    analysis, Deerwester et al. 1990). Words that no fitted row has are dropped. k is at most min(n, words)
    - 1.

    Shapes: n texts -> float32 [n, k].
    """
    counts, _ = _count_words(texts, fit_rows)
    fitted = counts[fit_rows]
    limit = min(fitted.shape) - 1
    if limit < 1:
        raise DataError("text.control=bag_of_words needs at least 2 training texts and 2 different words")
    idf = np.log((1 + fitted.shape[0]) / (1 + np.asarray((fitted > 0).sum(axis=0)).ravel())) + 1
    counts.data = 1 + np.log(counts.data)
    weights = sp.csr_array(counts @ sp.diags_array(idf))
    length = np.sqrt(np.asarray((weights**2).sum(axis=1)).ravel())
    weights = sp.csr_array(sp.diags_array(1 / np.maximum(length, 1e-12)) @ weights)
    k = min(dim, limit)
    start = np.full(min(fitted.shape), 1.0)
    _, values, components = svds(weights[fit_rows], k=k, v0=start, solver="arpack")
    assert components is not None, "svds returns components"
    components = components[np.argsort(-values)]
    largest = np.take_along_axis(components, np.abs(components).argmax(axis=1)[:, None], axis=1)
    return np.asarray(weights @ (components * np.sign(largest)).T, dtype=np.float32)


def _count_words(texts: Sequence[str], fit_rows: np.ndarray) -> tuple[sp.csr_array, dict[str, int]]:
    words = [_WORD.findall(text.lower()) for text in texts]
    known = sorted({word for row, fitted in zip(words, fit_rows) if fitted for word in row})
    column = {word: index for index, word in enumerate(known)}
    rows = [row for row, found in enumerate(words) for word in found if word in column]
    columns = [column[word] for found in words for word in found if word in column]
    shape = (len(texts), len(known))
    counts = sp.coo_array((np.ones(len(rows)), (rows, columns)), shape=shape).tocsr()
    counts.sum_duplicates()
    return counts, column


def anonymize(texts: Sequence[str], names: Sequence[str | Sequence[str]] | None) -> list[str]:
    """Return the texts with each row's own name, or names, replaced by the word 'item', whatever their case.

    It tells what a model knows of a name by heart from what the rest of the text says. A name is replaced
    only as a whole: not inside a longer word.
    """
    if names is None:
        raise ConfigError(
            "text.control=anonymized needs a name per text: name its column in card['text']['item_name'] or "
            "card['text']['user_name']"
        )
    if len(names) != len(texts):
        raise DataError(f"there must be one name per text (expected {len(texts)}, got {len(names)})")
    return [_replace(text, [name] if isinstance(name, str) else name) for text, name in zip(texts, names)]


def _replace(text: str, names: Sequence[str]) -> str:
    # a template takes the full stop from the end of what it names (see gnnrec.text.templates.render)
    bare = {name.strip().rstrip(". ") for name in names} - {""}
    # the longest first: 'vim' would leave 'item-tiny' of 'vim-tiny'
    for name in sorted(bare, key=lambda one: (-len(one), one)):
        pattern = rf"(?<![\w]){re.escape(name)}(?![\w])"
        text = re.sub(pattern, _PLACEHOLDER, text, flags=re.IGNORECASE)
    return text
