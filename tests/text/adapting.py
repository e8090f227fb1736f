from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from gnnrec.data.interactions import Interactions
from gnnrec.text.adapt_config import AdaptConfig

SPLIT = "5" * 64
LORA = {"lora_rank": 2, "freeze_embeddings": True}
# Two kinds of items; users take items of one kind. The letters of the kinds have nothing to do with each other.
TEXTS = [f"{['library', 'editor'][n % 2]} {chr(97 + n)} {chr(98 + n)}" for n in range(20)]
TRAIN = Interactions(
    np.repeat(np.arange(12), 6),
    np.concatenate([np.arange(0, 12, 2) + user % 2 + 2 * (user % 4) for user in range(12)]) % 20,
    12,
    20,
)


def quick(folder: Path, **changes: object) -> AdaptConfig:
    base = AdaptConfig(
        model=str(folder),
        steps=12,
        batch_size=16,
        lr=5e-3,
        evaluate_every=4,
        checkpoint_every=4,
        validation=0.2,
    )
    return replace(replace(base, freeze_embeddings=False, dtype="float32"), **changes)  # type: ignore[arg-type]


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return {k: v for file in folder.glob("*.safetensors") for k, v in load_file(file).items()}


def card_of(folder: Path) -> dict:
    return json.loads((folder / "gnnrec.json").read_text())
