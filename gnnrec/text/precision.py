"""bfloat16 where the processor has it and the model bears it."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import torch

from gnnrec.errors import DataError
from gnnrec.files import write_text
from gnnrec.text.config import TextConfig
from gnnrec.text.models import ModelFolder, read_json
from gnnrec.text.settings import Settings
from gnnrec.text.transformer import TransformerEncoder

log = logging.getLogger(__name__)
MIN_COSINE = 0.999
_PROBES = (
    "shared library",
    "Toy Story (1995). Genres: Adventure, Animation, Children, Comedy, Fantasy",
    "libglib2.0-dev. section: libdevel. tags: devel::library, role::devel-lib",
    "An ink cartridge for office printers that yields about two hundred black pages. " * 4,
)


def resolve_dtype(model: ModelFolder, settings: Settings, config: TextConfig, cache_dir: Path) -> torch.dtype:
    """Return the dtype of the weights: the one asked for, or for 'auto' bfloat16 if it is fast and true here.

    It is fast with AMX or AVX512-BF16 (or on a GPU that has it). It is true if the cosine to float32 is at
    least .999 on four probe texts; that answer is kept in the cache folder, for it needs the model to be
    loaded.
    """
    if config.dtype != "auto":
        return getattr(torch, config.dtype)
    if not has_bfloat16(config.device):
        return torch.float32
    note = cache_dir / f"precision-{model.identity[:16]}.json"
    known = _known(note)
    cosine = known.get(settings.pooling)
    if cosine is None:
        cosine = _probe(model, settings, config)
        write_text(note, json.dumps({**known, settings.pooling: cosine}))
    if cosine >= MIN_COSINE:
        return torch.bfloat16
    log.warning("'%s' in bfloat16 has cosine %.4f to float32: float32 is used", model.name, cosine)
    return torch.float32


def _known(note: Path) -> dict[str, float]:
    try:
        known = read_json(note, {})
        return {name: cosine for name, cosine in known.items() if isinstance(cosine, float)}
    except DataError as error:
        log.warning("%s: measured again", error)
        return {}


@cache
def has_bfloat16(device: str) -> bool:
    """Return whether bfloat16 products run in hardware on this device."""
    if device.startswith("cuda"):
        return torch.cuda.is_bf16_supported()
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def _probe(model: ModelFolder, settings: Settings, config: TextConfig) -> float:
    encoder = TransformerEncoder(model, settings, replace(config, dtype="float32"), torch.float32)
    exact = encoder.encode(_PROBES)
    encoder.model.to(torch.bfloat16)
    rounded = encoder.encode(_PROBES)
    lengths = np.linalg.norm(exact, axis=1) * np.linalg.norm(rounded, axis=1)
    return float(((exact * rounded).sum(axis=1) / np.maximum(lengths, 1e-12)).min())
