"""Texts per second on real item texts: encode_texts beside sentence-transformers' encode, in the same run.

    python benchmarks/text.py                      10,000 item texts of the data sets in ../shared/data
    python benchmarks/text.py --num 1000 --rounds 1
    python benchmarks/text.py --data FOLDER        any folder of data sets with items.parquet and a column
    `text`

The two take turns, round by round, so that a busy machine slows both; rates are medians over rounds and the
ratio is the median of the rounds' ratios. The cache is empty each time, and both cut at the same number of
tokens. Loading the model is not counted: encode_texts loads it in every call, sentence-transformers has it
loaded, so from each time that of one text alone is taken. Cosine compares with sentence-transformers' float32
vectors. Rows go to results/benchmarks/text.csv, in the place of older ones of as many texts cut at the same length on
the same processor and threads. Needs: pip install sentence-transformers
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

if __package__ in (None, ""):  # started as a script: take the repository, not this folder, for imports
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from experiments.cli import run_main  # before torch: it limits the threads

# isort: split
import numpy as np
import pandas as pd
import torch

from benchmarks.machine import describe_machine, save_rows
from gnnrec.errors import DataError, GnnrecError
from gnnrec.text import TextConfig, encode_texts
from gnnrec.text.models import find_model
from gnnrec.text.transformer import load_tokenizer

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "results" / "benchmarks" / "text.csv"
IDENTITY = ["case", "num_texts", "max_length", "processor", "threads"]


def read_texts(folder: Path, num: int) -> list[str]:
    """Return `num` different item texts, drawn alike from the data sets of a folder."""
    tables = [pd.read_parquet(path) for path in sorted(folder.glob("*/items.parquet"))]
    columns = [
        np.asarray(table["text"].dropna().unique(), dtype=object)
        for table in tables
        if "text" in table.columns
    ]
    if not columns:
        raise DataError(f"there is no */items.parquet with a column 'text' in '{folder}': give --data")
    generator = np.random.default_rng(0)
    share = -(-num // len(columns))
    drawn = [text for column in columns for text in generator.permutation(column)[:share] if text.strip()]
    return list(dict.fromkeys(drawn))[:num]


def measure(texts: list[str], max_length: int, rounds: int, note: str = "") -> list[dict[str, object]]:
    """Return a row per way of encoding."""
    from sentence_transformers import SentenceTransformer

    model = find_model("minilm")
    other = SentenceTransformer(str(model.path), device="cpu")
    other.max_seq_length = max_length

    def ours(dtype: str) -> Callable[[list[str]], np.ndarray]:
        def encode(batch: list[str]) -> np.ndarray:
            with tempfile.TemporaryDirectory() as cache:
                return encode_texts(batch, TextConfig(max_length=max_length, dtype=dtype), cache)

        return encode

    ways: dict[str, Callable[[list[str]], np.ndarray]] = {
        "sentence-transformers encode": lambda batch: np.asarray(
            other.encode(batch, normalize_embeddings=True, show_progress_bar=False)
        ),
        "gnnrec float32": ours("float32"),
        "gnnrec auto": ours("auto"),
    }
    vectors = {name: way(texts[:64]) for name, way in ways.items()}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            began = time.perf_counter()
            way(texts[:1])
            loaded = time.perf_counter()
            vectors[name] = way(texts)
            seconds[name].append((time.perf_counter() - loaded) - (loaded - began))
            print(f"{name}: {len(texts) / seconds[name][-1]:.0f} texts/s", flush=True)
    reference, base = vectors["sentence-transformers encode"], seconds["sentence-transformers encode"]
    tokens = load_tokenizer(model)(texts, truncation=True, max_length=max_length)["input_ids"]
    return [
        {
            "case": name,
            "texts_per_second": round(len(texts) / float(np.median(spent)), 1),
            **_ratios(np.array(base) / np.array(spent)),
            "rounds": rounds,
            "min_cosine": round(float((vectors[name] * reference).sum(axis=1).min()), 5),
            "num_texts": len(texts),
            "mean_tokens": round(float(np.mean([len(ids) for ids in tokens])), 1),
            "max_length": max_length,
            "note": note,
            **describe_machine(packages=("transformers", "sentence-transformers")),
        }
        for name, spent in seconds.items()
    ]


def _ratios(ratio: np.ndarray) -> dict[str, float]:
    """Return how many times faster than sentence-transformers, round by round."""
    values = {"min": ratio.min(), "median": np.median(ratio), "max": ratio.max()}
    return {f"ratio_{which}": round(float(value), 2) for which, value in values.items()}


def main(argv: Sequence[str]) -> None:
    """Measure what the command line asks for; see --help."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--num", type=int, default=10_000)
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--note", default="", help="kept with the rows, for example 'busy machine'")
    parser.add_argument("--output", type=Path, default=RESULT)
    options = parser.parse_args(argv)
    torch.set_num_threads(options.threads)
    try:
        rows = measure(
            read_texts(options.data, options.num), options.max_length, options.rounds, options.note
        )
    except ImportError as error:
        raise GnnrecError(f"{error}; pip install sentence-transformers") from error
    save_rows(options.output, pd.DataFrame(rows), IDENTITY)
    print(pd.DataFrame(rows).to_string(index=False))


if __name__ == "__main__":
    sys.exit(run_main(main, resumes=False))
