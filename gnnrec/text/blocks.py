"""Feature blocks: several sources of features per item or user, each with a mask of who has it."""

from __future__ import annotations

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from gnnrec.data.dataset import Dataset
from gnnrec.data.interactions import Interactions
from gnnrec.errors import ConfigError, DataError, check_choice, check_range, suggest
from gnnrec.text.config import TextConfig
from gnnrec.text.controls import shuffled_rows
from gnnrec.text.encoder import text_fingerprint
from gnnrec.text.nodes import fit_data, side_table, text_vectors
from gnnrec.text.templates import render, to_text
from gnnrec.text.transform import transform
from gnnrec.text.vectors import load_vectors, vectors_sha256
from gnnrec.typed import read

log = logging.getLogger(__name__)
KINDS = ("text", "vectors", "multi_hot", "bag")
MISSING = ("zero", "learned", "template")


@dataclass(frozen=True)
class BlockConfig:
    """One block of features of every item or user; checked when it is made.

    Args:
        kind: `text` a language model's vector of some columns; `vectors` a file of vectors made elsewhere, for
            example of images or audio (see gnnrec.text.vectors); `multi_hot` categories as a vector with
            1 / sqrt(count) for each category that a row has; `bag` the mean of a trained row per category.
        columns: text: joined as `column: value`, one column as it is. Categories: `column=value` for each value of
            a cell, which is a list or a text cut at `separator`.
        path: the file of kind=vectors.
        separator, min_count: of categories; those that fewer than `min_count` training rows have are left out.
        missing: what a row without a value has: `zero` nothing, `learned` one trained vector for all such rows,
            `template` (kind=text) the text that `template` makes of other columns.
        template: [label, column] pairs, for missing=template; a row that lacks these too has nothing.
        text: keys of the `text` group that are different for this block, for example {model: ..., control: none}.
    """

    kind: str = "text"
    columns: tuple[str, ...] = ()
    path: str | None = None
    separator: str = ","
    min_count: int = 1
    missing: str = "zero"
    template: tuple[Any, ...] = ()
    text: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_choice("kind", self.kind, KINDS, "block")
        check_choice("missing", self.missing, MISSING, "block")
        check_range("min_count", self.min_count, "block", low=1)
        if (self.kind == "vectors") != (self.path is not None):
            raise ConfigError(
                f"'path' belongs to kind=vectors in 'block' (got {self.path!r}, kind={self.kind})"
            )
        if (self.kind != "vectors") != bool(self.columns):
            raise ConfigError(
                f"'columns' must name the columns of kind={self.kind} in 'block' (got {list(self.columns)})"
                if self.kind != "vectors"
                else f"'columns' must be empty for kind=vectors in 'block' (got {list(self.columns)})"
            )
        if not self.separator:
            raise ConfigError("'separator' must not be empty in 'block'")
        if (self.missing == "template") != bool(self.template):
            raise ConfigError("'template' and missing=template belong together in 'block'")
        if self.missing == "template" and self.kind != "text":
            raise ConfigError(f"missing=template needs kind=text in 'block' (got kind={self.kind})")
        # Checks the values; the reduction that reads them may be that of the `text` group.
        read(TextConfig, {"reduce": "whiten_pca", **self.text}, "block.text")


@dataclass(frozen=True)
class Block:
    """values: float32 [n, d], zero where a row lacks the block, or sparse shares of categories [n, num_categories],
    each row with any summing to 1. present: bool [n]. learned: whether the rows without share a trained vector.
    """

    name: str
    values: np.ndarray | sp.csr_array
    present: np.ndarray
    learned: bool = False

    def dense(self) -> np.ndarray:
        """Return the values as an array [n, d]."""
        return self.values if isinstance(self.values, np.ndarray) else self.values.toarray()


def load_blocks(
    dataset: Dataset,
    side: str,
    blocks: Mapping[str, BlockConfig],
    config: TextConfig,
    train: Interactions,
    split: str | None = None,
) -> list[Block]:
    """Return the blocks of all users or items, in the order of their names in the configuration.

    Reductions, controls and the set of categories are fitted on the rows that `train` has. A control of `config`
    holds for every block: one that cannot (bag_of_words of an image) is a ConfigError, and {control: none} in the
    block's own `text` takes it out. Under control=gaussian each block has random vectors of its own. split: see
    node_vectors.
    """
    return [
        _load(dataset, side, name, block, replace(config, **block.text), train, split, place)
        for place, (name, block) in enumerate(blocks.items())
    ]


def _load(
    dataset: Dataset,
    side: str,
    name: str,
    block: BlockConfig,
    config: TextConfig,
    train: Interactions,
    split: str | None,
    place: int,
) -> Block:
    if config.control == "gaussian":  # of one seed, blocks of one width would share their noise
        config = replace(config, seed=config.seed + place)
    learned = block.missing == "learned"
    fit = fit_data(train, side, config)
    if block.kind == "text":
        texts = block_texts(dataset, side, block)
        present = np.array([bool(text.strip()) for text in texts])
        _tell(side, name, present)
        vectors = text_vectors(dataset, side, texts, config, fit, split)
        return Block(name, vectors, present, learned)
    if config.control in ("bag_of_words", "anonymized"):
        raise ConfigError(
            f"text.control={config.control} is of texts, and {side} block '{name}' has none (kind={block.kind}): "
            f"leave the block out, or give it 'text: {{control: none}}'"
        )
    config = replace(config, dim=block.text.get("dim"))  # text.dim cuts what a language model gives
    if block.kind == "vectors":
        assert block.path is not None
        loaded = load_vectors(block.path, side_table(dataset, side)[f"{side}_id"].tolist())
        vectors = transform(loaded.vectors, config, loaded.present, fit)
        return Block(name, vectors, loaded.present, learned)
    shares, present = categories(side_table(dataset, side), block, fit.rows)
    _tell(side, name, present)
    if block.kind == "multi_hot":
        vectors = transform(_unit_rows(shares), config, present, fit)
        return Block(name, vectors, present, learned)
    return Block(name, _controlled(shares, present, config, name), present, learned)


def block_texts(dataset: Dataset, side: str, block: BlockConfig) -> list[str]:
    """Return the text of each row, that of the block's template where its own columns are empty."""
    table = side_table(dataset, side)
    pairs = [["" if len(block.columns) == 1 else column, column] for column in block.columns]
    texts = render(table, pairs)
    if block.missing != "template":
        return texts
    return [own or other for own, other in zip(texts, render(table, block.template), strict=True)]


def categories(
    table: pd.DataFrame, block: BlockConfig, fit_rows: np.ndarray
) -> tuple[sp.csr_array, np.ndarray]:
    """Return each row's share of each category (1 / count), sparse [n, num_categories], and who has any, bool [n].

    Categories are those that at least `min_count` of the rows `fit_rows` have, in alphabetical order: another would
    never be trained, and would only blur the rows that have it.
    """
    rows = [set() for _ in range(len(table))]
    for column in block.columns:
        if column not in table.columns:
            raise DataError(f"a block asks for column '{column}'{suggest(column, map(str, table.columns))}")
        for row, cell in zip(rows, table[column].tolist(), strict=True):
            row |= {f"{column}={value}" for value in _values(cell, block.separator)}
    counts = Counter(value for row, fitted in zip(rows, fit_rows, strict=True) if fitted for value in row)
    known = sorted(value for value, count in counts.items() if count >= block.min_count)
    if not known:
        raise DataError(
            f"no category of columns {', '.join(block.columns)} is in {block.min_count} training rows or more"
        )
    number = {value: index for index, value in enumerate(known)}
    indices = [sorted(number[value] for value in row if value in number) for row in rows]
    sizes = np.array([len(row) for row in indices])
    start = np.concatenate([[0], sizes.cumsum()])
    share = np.repeat(1 / np.maximum(sizes, 1), sizes).astype(np.float32)
    flat = np.array([index for row in indices for index in row], dtype=np.int64)
    return sp.csr_array((share, flat, start), shape=(len(table), len(known))), sizes > 0


def block_fingerprint(
    dataset: Dataset, side: str, blocks: Mapping[str, BlockConfig], config: TextConfig
) -> str:
    """Return a SHA-256 of everything that decides the blocks, but the train part."""
    parts = []
    for name, block in blocks.items():
        changed = replace(config, **block.text)
        if block.kind == "text":
            content = text_fingerprint(block_texts(dataset, side, block), changed)
        elif block.path is not None:
            content = vectors_sha256(block.path)
        else:
            table = side_table(dataset, side)
            content = [[to_text(cell) for cell in table[column].tolist()] for column in block.columns]
        settings = {
            key: value for key, value in vars(changed).items() if key not in ("device", "batch_tokens")
        }
        parts.append([name, {**asdict(block), "path": None}, settings, content])
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _values(cell: Any, separator: str) -> list[str]:
    if isinstance(cell, list | tuple | set | frozenset | np.ndarray):
        texts = [to_text(value) for value in cell]
    else:
        texts = [text.strip() for text in to_text(cell).split(separator)]
    return [text for text in texts if text]


def _unit_rows(shares: sp.csr_array) -> np.ndarray:
    dense = shares.toarray()
    return dense / np.maximum(np.linalg.norm(dense, axis=1, keepdims=True), 1e-12)


def _controlled(shares: sp.csr_array, present: np.ndarray, config: TextConfig, name: str) -> sp.csr_array:
    if config.control == "none":
        return shares
    if config.control == "shuffled":
        return sp.csr_array(shares[shuffled_rows(len(present), config.seed, present)])
    raise ConfigError(
        f"text.control={config.control} needs vectors: give block '{name}' kind=multi_hot in place of kind=bag"
    )


def _tell(side: str, name: str, present: np.ndarray) -> None:
    if not present.all():
        log.warning("%d of %d %ss lack the block '%s'", (~present).sum(), len(present), side, name)
