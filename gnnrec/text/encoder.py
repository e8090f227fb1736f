"""encode_texts: from texts to vectors, through the cache."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gnnrec.allocator import keep_freed_memory
from gnnrec.devices import resolve_device
from gnnrec.errors import DataError
from gnnrec.files import cache_home
from gnnrec.progress import Progress
from gnnrec.text.cache import VectorCache, text_keys
from gnnrec.text.config import TextConfig
from gnnrec.text.controls import BAG_OF_WORDS_DIM, anonymize, bag_of_words
from gnnrec.text.hashing import HASH_DIM, HASH_VERSION, hash_texts
from gnnrec.text.models import ModelFolder, check_split, find_model
from gnnrec.text.precision import resolve_dtype
from gnnrec.text.settings import Settings, read_settings
from gnnrec.text.transform import FitData, fitted_rows, transform
from gnnrec.text.transformer import TransformerEncoder

log = logging.getLogger(__name__)
_BLOCK = 1024
_SECONDS_PER_SHARD = 30.0


def encode_texts(
    texts: Sequence[str],
    config: TextConfig | None = None,
    cache_dir: str | Path | None = None,
    fit: FitData | None = None,
    names: Sequence[str | Sequence[str]] | None = None,
    split: str | None = None,
) -> np.ndarray:
    """Return one vector per text, float32 [n, dim], from the cache where it is there.

    An empty text gets the zero vector (it says nothing, and a model's answer to '' would make all such texts
    alike); if all are empty that is a DataError. A text longer than max_length tokens is cut. The same
    texts in the same cache state give the same bits; in bfloat16 a vector may differ in the third digit
    with what it is batched with.

    fit: of training, for controls and reductions that are fitted (see gnnrec.text.transform). names: one or
    several per text, for control=anonymized. split: the fingerprint of the split in use; a model adapted on another
    split is a DataError. cache_dir: default the user's cache folder.
    """
    config = config or TextConfig()
    _check_texts(texts)
    if config.control == "anonymized":
        texts = anonymize(texts, names)
    present = np.array([bool(text.strip()) for text in texts])
    if not present.any():
        raise DataError(f"all {len(texts)} texts are empty: check the text template and the text columns")
    if not present.all():
        log.warning("%d of %d texts are empty and get the zero vector", (~present).sum(), len(texts))
    if config.control == "bag_of_words":
        rows = fitted_rows(fit, present, "control=bag_of_words")
        vectors = bag_of_words(texts, rows, config.dim or BAG_OF_WORDS_DIM)
        config = replace(config, dim=None)
    else:
        unique = list(dict.fromkeys(text for text in texts if text.strip()))
        encoded = _encode_unique(unique, config, cache_dir, split)
        row = {text: index for index, text in enumerate(unique)}
        vectors = encoded[[row.get(text, 0) for text in texts]]
        vectors[~present] = 0
    return transform(vectors, config, present, fit)


def _encode_unique(
    texts: list[str], config: TextConfig, cache_dir: str | Path | None, split: str | None
) -> np.ndarray:
    if config.model == "hash":
        return hash_texts(texts, config.dim or HASH_DIM)
    model = find_model(config.model, config.revision)
    check_split(model, split)
    return _encode_cached(texts, model, config, Path(cache_dir) if cache_dir else cache_home() / "text")


def text_fingerprint(texts: Sequence[str], config: TextConfig | None = None) -> str:
    """Return a SHA-256 over the texts, the model's files and every setting that decides a vector."""
    config = config or TextConfig()
    ignored = ("device", "batch_tokens", "model")
    settings = {name: value for name, value in vars(config).items() if name not in ignored}
    digest = hashlib.sha256(json.dumps([model_identity(config), settings], sort_keys=True).encode())
    for key in text_keys(texts):
        digest.update(key)
    return digest.hexdigest()


def model_identity(config: TextConfig) -> str:
    """Return a SHA-256 of the files of the language model, or the version of the hash."""
    return HASH_VERSION if config.model == "hash" else find_model(config.model, config.revision).identity


def _check_texts(texts: Sequence[str]) -> None:
    if isinstance(texts, str):
        raise DataError(f"texts must be a list of strings (got the string {texts[:40]!r})")
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise DataError(f"text {row} is not a string (got {text!r}); missing texts are given as ''")
    if not len(texts):
        raise DataError("there are no texts to encode")


def _encode_cached(texts: list[str], model: ModelFolder, config: TextConfig, root: Path) -> np.ndarray:
    config = replace(config, device=resolve_device(config.device, "text.device"))
    settings = read_settings(model, config)
    dtype = resolve_dtype(model, settings, config, root)
    cache = VectorCache(root / _folder_name(model, settings, config, dtype))
    keys = text_keys(texts)
    found = cache.read(keys)
    missing = [row for row, key in enumerate(keys) if key not in found]
    if missing:
        log.info(
            "encoding %d texts with %s (%s), %d from the cache", len(missing), model.name, dtype, len(found)
        )
        encoder = TransformerEncoder(model, settings, config, dtype)
        _encode_missing(
            encoder, cache, [texts[row] for row in missing], [keys[row] for row in missing], found
        )
    return np.stack([found[key] for key in keys])


def _encode_missing(
    encoder: TransformerEncoder,
    cache: VectorCache,
    texts: list[str],
    keys: list[bytes],
    found: dict[bytes, np.ndarray],
) -> None:
    """Encode from long to short, a shard after each half minute: an interrupted run loses little."""
    keep_freed_memory()
    order = sorted(range(len(texts)), key=lambda row: (-len(texts[row]), texts[row]))
    # Blocks end where those of an encoding that was not interrupted do: the same batches, hence the same bits.
    starts = range(-(len(found) % _BLOCK), len(order), _BLOCK)
    blocks = [order[max(start, 0) : start + _BLOCK] for start in starts]
    done: dict[bytes, np.ndarray] = {}
    since = time.monotonic()
    with Progress(total=len(texts), name="encoding texts", unit="text") as bar:
        for block in blocks:
            for rows, vectors in encoder.encode_batches([texts[row] for row in block]):
                if not np.isfinite(vectors).all():
                    raise DataError(
                        f"text model '{encoder.name}' gave NaN or infinite vectors; try text.dtype=float32"
                    )
                done.update(zip((keys[block[row]] for row in rows), vectors, strict=True))
                bar.update(len(rows))
                if time.monotonic() - since > _SECONDS_PER_SHARD:
                    _keep(done, cache, found)
                    done, since = {}, time.monotonic()
    if done:
        _keep(done, cache, found)


def _keep(done: dict[bytes, np.ndarray], cache: VectorCache, found: dict[bytes, np.ndarray]) -> None:
    cache.write(list(done), np.stack(list(done.values())))
    found.update(done)


def _folder_name(model: ModelFolder, settings: Settings, config: TextConfig, dtype: torch.dtype) -> str:
    parts: dict[str, Any] = {
        "version": 1,
        "model": model.identity,
        "settings": settings.as_dict(),
        "max_length": config.max_length,
        "dtype": str(dtype),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]
