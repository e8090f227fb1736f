"""A text encoder without a model: hashed words and character n-grams."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

HASH_DIM = 256
HASH_VERSION = "hash-1"
_WORD = re.compile(r"\w+", re.UNICODE)
_NGRAMS = (3, 4, 5)


def hash_texts(texts: Sequence[str], dim: int = HASH_DIM) -> np.ndarray:
    """Return signed hashed counts of words and their character 3- to 5-grams, float32 [n, dim].

    Each word of a text adds +-1 at the hash of the word and +-1/sqrt(m) at the hashes of its m n-grams, times
    1 + log(count) (feature hashing: Weinberger et al. 2009, https://arxiv.org/abs/0902.2206). The hash is
    CRC-32, so vectors are the same on every machine. A text without a word gets zeros.
    """
    word_vector = lru_cache(maxsize=1 << 17)(_word_vector)  # 128 MiB of 256 dimensions
    vectors = np.zeros((len(texts), dim), dtype=np.float32)
    for row, text in enumerate(texts):
        counts: dict[str, int] = {}
        for word in _WORD.findall(text.lower()):
            counts[word] = counts.get(word, 0) + 1
        for word, count in counts.items():
            vectors[row] += np.float32(1 + np.log(count)) * word_vector(word, dim)
    return vectors


def _word_vector(word: str, dim: int) -> np.ndarray:
    vector = np.zeros(dim, dtype=np.float32)
    _add(vector, f"w {word}", 1.0)
    padded = f"<{word}>"
    grams = [padded[i : i + n] for n in _NGRAMS for i in range(len(padded) - n + 1)]
    for gram in grams:
        _add(vector, f"g {gram}", len(grams) ** -0.5)
    return vector


def _add(vector: np.ndarray, token: str, weight: float) -> None:
    code = zlib.crc32(token.encode("utf-8", "surrogatepass"))
    vector[(code >> 1) % len(vector)] += weight if code & 1 else -weight
