"""Write profiles of items or users with a local causal language model, as a JSONL file keyed by raw id.

    python data_scripts/profiles.py debian --side item --model FOLDER --output items.jsonl
    python data_scripts/profiles.py debian --side user --model FOLDER --output users.jsonl --split cold_item
    --split-seed 0

An item's profile is made from its text; a user's from the texts of the items of train alone, and the card
beside the file (FILE.card.json) then names the fingerprint of that split: gnnrec refuses the profiles with
any other, as it does with all profiles by a model that was adapted on a split, and with those of another side
or data set. Started again, the script goes on where it stopped. A run takes the file as text.item_profiles=
or text.user_profiles=.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

if __package__ in (None, ""):  # started as a script: take the repository, not this folder, for imports
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np

from gnnrec.data.dataset import Dataset, load_dataset
from gnnrec.data.interactions import Interactions
from gnnrec.data.splits import make_split
from gnnrec.errors import ConfigError, DataError, GnnrecError, check_range
from gnnrec.files import only_writer, write_text
from gnnrec.progress import Progress
from gnnrec.text.config import TextConfig
from gnnrec.text.generate import Generator
from gnnrec.text.models import CARD, ModelFolder, check_split, find_model, read_json, split_of
from gnnrec.text.nodes import node_texts
from gnnrec.text.profiles import card_path, read_profiles

# options that decide the texts and stand in the card by their own names
IN_CARD = ("max_items", "max_characters", "max_new_tokens", "max_prompt_tokens", "dtype")
ITEM_PROMPT = (
    "Here is what is known about an item:\n{text}\n\n"
    "In two sentences: what is it, and what kind of user would want it?"
)
USER_PROMPT = (
    "A user took these items:\n{items}\n\n"
    "In two sentences: what is this user interested in, and what would they want next?"
)


def item_prompts(texts: Sequence[str], template: str) -> dict[int, str]:
    """Return {item: prompt} for every item that has a text."""
    return {row: template.replace("{text}", text) for row, text in enumerate(texts) if text.strip()}


def user_prompts(
    texts: Sequence[str], train: Interactions, template: str, max_items: int, max_characters: int, seed: int
) -> dict[int, str]:
    """Return {user: prompt} for every user with an item of train that has a text.

    At most `max_items` random items of a user are named, each cut to `max_characters`.
    """
    matrix = train.csr()
    prompts: dict[int, str] = {}
    for user in range(train.num_users):
        items = matrix.indices[matrix.indptr[user] : matrix.indptr[user + 1]]
        items = np.sort(items[[bool(texts[int(item)].strip()) for item in items]])
        if not len(items):
            continue
        chosen = np.random.default_rng([seed, user]).permutation(items)[:max_items]
        lines = "\n".join(f"- {texts[int(item)][:max_characters]}" for item in chosen)
        prompts[user] = template.replace("{items}", lines)
    return prompts


def write_profiles(
    path: Path, prompts: dict[str, str], generator: Generator, batch_size: int, card: dict[str, Any]
) -> int:
    """Append the answers to a JSONL file, those that it has already left out; return how many were written.

    The card must be the one that the file was begun with. A last line cut by an interruption is written
    again. While another process writes the file it is a DataError.
    """
    with only_writer(path):
        return _append(path, prompts, generator, batch_size, card)


def _append(
    path: Path, prompts: dict[str, str], generator: Generator, batch_size: int, card: dict[str, Any]
) -> int:
    begun = read_json(card_path(path), None)
    if path.exists() and begun != card:
        raise ConfigError(
            f"'{path}' was begun with {_differences(begun, card)}: delete it or choose another --output"
        )
    done = read_profiles(path, allow_cut=True) if path.exists() else {}
    lines = [json.dumps({"id": name, "text": text}, ensure_ascii=False) + "\n" for name, text in done.items()]
    write_text(card_path(path), json.dumps(card, indent=1) + "\n")  # first: a file without it is nobody's
    write_text(path, "".join(lines))
    left = [name for name in prompts if name not in done]
    with (
        path.open("a", encoding="utf-8") as stream,
        Progress(total=len(left), name="writing profiles", unit="text") as bar,
    ):
        for start in range(0, len(left), batch_size):
            names = left[start : start + batch_size]
            for name, text in zip(names, generator.answer([prompts[name] for name in names])):
                stream.write(json.dumps({"id": name, "text": text}, ensure_ascii=False) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
            bar.update(len(names))
    return len(left)


def _differences(begun: Any, card: dict[str, Any]) -> str:
    if not isinstance(begun, dict):
        return f"no card beside it ({card_path(Path('FILE'))})"
    return "another " + ", ".join(name for name in card if begun.get(name) != card[name])


def _prompts(
    options: argparse.Namespace, dataset: Dataset, template: str, model: ModelFolder
) -> tuple[dict[int, str], str | None]:
    texts = node_texts(dataset, "item", TextConfig())
    if options.side == "item":
        # what a model adapted on train interactions writes knows them, whatever it is asked
        return item_prompts(texts, template), split_of(model.path / CARD)
    if options.split is None:
        raise ConfigError("profiles of users are made from train interactions: give --split")
    try:
        params = json.loads(options.split_params)
    except json.JSONDecodeError:
        params = None
    if not isinstance(params, dict):
        raise ConfigError(f"--split-params must be a JSON object (got {options.split_params})")
    split = make_split(dataset, options.split, options.split_seed, **params)
    check_split(model, split.fingerprint)
    prompts = user_prompts(
        texts, split.train, template, options.max_items, options.max_characters, options.split_seed
    )
    return prompts, split.fingerprint


def _read_prompt(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"the prompt '{path}' is not UTF-8 ({error}): save it as UTF-8") from error


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("dataset", help="a bundled name, a folder, or a name below the data home")
    parser.add_argument("--side", choices=("item", "user"), required=True)
    parser.add_argument("--model", required=True, help="folder or hub-cache name of a causal language model")
    parser.add_argument("--output", type=Path, required=True, help="the JSONL file")
    parser.add_argument(
        "--prompt", type=Path, help="a file with another prompt: {text} or {items} is filled in"
    )
    parser.add_argument("--split", help="name of the split whose train part users are described from")
    parser.add_argument("--split-seed", type=int, default=0)
    parser.add_argument(
        "--split-params", default="{}", help='options of the split as JSON, as in {"cold": 0.2}'
    )
    parser.add_argument("--max-items", type=int, default=20, help="items named in a user's prompt")
    parser.add_argument("--max-characters", type=int, default=200, help="characters of each of these")
    parser.add_argument("--max-new-tokens", type=int, default=64)
    parser.add_argument("--max-prompt-tokens", type=int, default=1024)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--limit", type=int, help="stop after this many (to look at the result first)")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--device", default="auto")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the script; return its exit status."""
    options = _options(arguments)
    try:
        for name in ("batch_size", "max_items", "max_characters", "limit"):
            value = getattr(options, name)
            if value is not None:
                check_range(name, value, "profiles", low=1)
        field = "{text}" if options.side == "item" else "{items}"
        template = ITEM_PROMPT if options.side == "item" else USER_PROMPT
        if options.prompt is not None:
            template = _read_prompt(options.prompt)
        if field not in template:
            raise ConfigError(f"the prompt must hold {field}, where the texts are filled in")
        dataset = load_dataset(options.dataset)
        model = find_model(options.model)
        rows, split = _prompts(options, dataset, template, model)
        if not rows:
            raise DataError(f"no {options.side} of '{dataset.name}' has a text to make a profile from")
        table = dataset.items if options.side == "item" else dataset.users
        raw = [str(one) for one in table[f"{options.side}_id"]]
        prompts = {raw[row]: prompt for row, prompt in list(rows.items())[: options.limit]}
        card = {
            "dataset": dataset.name,
            "data_fingerprint": dataset.fingerprint(),
            "side": options.side,
            "split": split,
            "model": model.name,
            "model_identity": model.identity,
            "prompt": template,
            **{name: getattr(options, name) for name in IN_CARD},
        }
        generator = Generator(
            model, options.max_new_tokens, options.max_prompt_tokens, options.dtype, options.device
        )
        written = write_profiles(options.output, prompts, generator, options.batch_size, card)
    except (GnnrecError, OSError, json.JSONDecodeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted: start again with the same options to go on", file=sys.stderr)
        return 130
    print(f"{written} profiles written, {len(prompts) - written} were there: {options.output}")
    if generator.num_cut:
        print(
            f"warning: {generator.num_cut} prompts lost their beginning, for only {generator.max_prompt_tokens} tokens "
            "are read: see --max-prompt-tokens, --max-items and --max-characters",
            file=sys.stderr,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
