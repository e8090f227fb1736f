"""The text vectors of a data set's users or items, by the settings of a run."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from gnnrec.data.dataset import Dataset
from gnnrec.data.interactions import Interactions
from gnnrec.errors import ConfigError, DataError, check_choice, suggest
from gnnrec.text.config import TextConfig
from gnnrec.text.encoder import encode_texts, text_fingerprint
from gnnrec.text.pairs import co_interaction_pairs
from gnnrec.text.profiles import load_profiles
from gnnrec.text.templates import row_texts, to_text
from gnnrec.text.transform import FitData, transform
from gnnrec.text.vectors import load_vectors, vectors_sha256

_NUM_PAIRS = 100_000


@dataclass(frozen=True)
class NodeVectors:
    """vectors: float32 [n, d], zero where a row has no text; present: bool [n]."""

    vectors: np.ndarray
    present: np.ndarray


def node_texts(dataset: Dataset, side: str, config: TextConfig, split: str | None = None) -> list[str]:
    """Return the text of each user or item: generated texts where the config names a file of them, else the
    template of the card, else the column `text`.
    """
    check_choice("side", side, ("item", "user"), "node_texts")
    table = side_table(dataset, side)
    path = config.item_profiles if side == "item" else config.user_profiles
    if path is not None:
        return load_profiles(path, table[f"{side}_id"].tolist(), split, side, dataset.fingerprint())
    return row_texts(table, _told_of_text(dataset).get(side))


def node_vectors(
    dataset: Dataset,
    side: str,
    config: TextConfig,
    train: Interactions,
    split: str | None = None,
) -> NodeVectors:
    """Return a vector per user or item: from a file of vectors if the config names one, else from its text.

    Whatever is fitted (reduction, Gaussian and bag-of-words control) is fitted on the rows that `train` has.
    split: the fingerprint of the split, checked against an adapted model and against generated texts.
    """
    check_choice("side", side, ("item", "user"), "node_vectors")
    fit = fit_data(train, side, config)
    path = config.item_vectors if side == "item" else config.user_vectors
    if path is not None:
        if config.control in ("bag_of_words", "anonymized"):
            raise ConfigError(
                f"text.control={config.control} is of texts, and text.{side}_vectors takes their place: leave one out"
            )
        loaded = load_vectors(path, side_table(dataset, side)[f"{side}_id"].tolist())
        vectors = transform(loaded.vectors, config, loaded.present, fit)
        return NodeVectors(vectors, loaded.present)
    texts = node_texts(dataset, side, config, split)
    vectors = text_vectors(dataset, side, texts, config, fit, split)
    return NodeVectors(vectors, np.array([bool(text.strip()) for text in texts]))


def fit_data(train: Interactions, side: str, config: TextConfig) -> FitData:
    """Return what controls and reductions of a side are fitted on: rows that train has, who has them."""
    rows = (train.item_counts() if side == "item" else train.user_counts()) > 0
    if config.reduce in ("informed", "canonical"):
        return FitData(rows, pairs=co_interaction_pairs(train, _NUM_PAIRS, config.seed, side))
    if config.reduce == "contrastive":
        matrix = train.csr()
        return FitData(rows, histories=matrix if side == "item" else sp.csr_array(matrix.T))
    return FitData(rows)


def side_table(dataset: Dataset, side: str) -> pd.DataFrame:
    """Return the table of items or of users."""
    return dataset.items if side == "item" else dataset.users


def text_vectors(
    dataset: Dataset,
    side: str,
    texts: Sequence[str],
    config: TextConfig,
    fit: FitData,
    split: str | None = None,
) -> np.ndarray:
    """Return the vectors of texts, one per row of a side's table, through the controls and reduction."""
    names = _names(dataset, side) if config.control == "anonymized" else None
    return encode_texts(texts, config, fit=fit, names=names, split=split)


def node_fingerprint(dataset: Dataset, side: str, config: TextConfig, split: str | None = None) -> str:
    """Return a SHA-256 of everything that decides the vectors of users or items, but the train part."""
    path = config.item_vectors if side == "item" else config.user_vectors
    if path is None:
        return text_fingerprint(node_texts(dataset, side, config, split), config)
    settings = {name: value for name, value in vars(config).items() if name != "device"}
    return hashlib.sha256(f"{vectors_sha256(path)} {sorted(settings.items())}".encode()).hexdigest()


def _told_of_text(dataset: Dataset) -> dict[str, Any]:
    """Return what the card says of texts."""
    told = dataset.card.get("text", {})
    if not isinstance(told, dict):
        raise DataError(
            f"card['text'] of data set '{dataset.name}' must be a mapping, as in {{'item': [['', 'title']]}} "
            f"(got {told!r})"
        )
    return told


def _names(dataset: Dataset, side: str) -> list[tuple[str, ...]] | None:
    """Return the names of each row: of the column or columns that the card names, else of the first usual one."""
    table = side_table(dataset, side)
    named = _told_of_text(dataset).get(f"{side}_name")
    if named is None:
        columns = [column for column in ("title", "name", "words") if column in table.columns][:1]
    else:
        columns = list(named) if isinstance(named, list | tuple) else [named]
    for column in columns:
        if column not in table.columns:
            raise DataError(
                f"card['text']['{side}_name'] asks for column '{column}'{suggest(str(column), map(str, table.columns))}"
            )
    if not columns:
        return None
    return list(
        zip(*([to_text(value) for value in table[column].tolist()] for column in columns), strict=True)
    )
