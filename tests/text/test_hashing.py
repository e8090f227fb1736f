from __future__ import annotations

import zlib

import numpy as np

from gnnrec.text.hashing import hash_texts


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def test_it_is_the_same_everywhere():
    # The word "a" is itself and the one n-gram "<a>": two CRC-32 codes (of "w a" and "g <a>").
    vector = hash_texts(["a"], 16)[0]
    expected = np.zeros(16, dtype=np.float32)
    for code in (zlib.crc32(b"w a"), zlib.crc32(b"g <a>")):
        expected[code // 2 % 16] += 1 if code % 2 else -1
    np.testing.assert_array_equal(vector, expected)
    assert zlib.crc32(b"123456789") == 0xCBF43926
    np.testing.assert_array_equal(vector, hash_texts(["other", "a"], 16)[1])


def test_shared_words_and_parts_of_words_make_texts_alike():
    a, b, c, d = hash_texts(["perl library", "library of perl", "perllibraries", "blue ink cartridge"])
    assert cosine(a, b) > 0.7
    assert cosine(a, c) > 0.1
    assert abs(cosine(a, d)) < 0.1


def test_case_order_and_empty_texts():
    vectors = hash_texts(["Red Ink", "ink red", "...", ""])
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-6)
    assert not vectors[2:].any()


def test_it_keeps_inner_products_on_average():
    # Words share nothing: hashed vectors of many different texts are nearly orthogonal.
    vectors = hash_texts([f"{chr(97 + i)}{chr(98 + j)}q{i * j}z" for i in range(20) for j in range(20)])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    similar = vectors @ vectors.T
    assert abs(similar[~np.eye(len(similar), dtype=bool)]).mean() < 0.3
