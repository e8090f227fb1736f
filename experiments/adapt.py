"""Adapt a language model to a data set: python experiments/adapt.py dataset=debian split=cold_items --output FOLDER"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

if __package__ in (None, ""):  # started as a script: take the repository, not this folder, for imports
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import yaml

from experiments.cli import parse_arguments, run_main
from experiments.compose import compose_config, parse
from gnnrec.config import RunConfig
from gnnrec.data.dataset import load_dataset
from gnnrec.data.splits import make_split
from gnnrec.errors import ConfigError
from gnnrec.text.adapt import adapt_model
from gnnrec.text.adapt_config import AdaptConfig
from gnnrec.text.config import TextConfig
from gnnrec.text.models import CARD, read_json
from gnnrec.text.nodes import node_texts
from gnnrec.typed import build

PREFIX = "adapt."
# What is read of the groups of experiments/run.py, and of the keys of the last.
GROUPS = ("dataset", "split", "text")
TEXT_KEYS = ("model", "revision", "item_profiles")
HELP = f"""\
usage: python experiments/adapt.py [GROUP=OPTION ...] [KEY=VALUE ...] [{PREFIX}KEY=VALUE ...] --output FOLDER

  dataset and split are those of experiments/run.py; the model adapted is text.model (text.revision), the texts are
  the data set's or text.item_profiles.
  {PREFIX}KEY is a setting of gnnrec.text.adapt_config.AdaptConfig: objective, steps, lr, lora_rank, ...

examples:
  python experiments/adapt.py dataset=debian split=cold_items --output adapted
  python experiments/adapt.py dataset=debian split=cold_items {PREFIX}lora_rank=8 {PREFIX}lr=1e-3 --output adapted-lora
  python experiments/run.py dataset=debian split=cold_items model=content_knn text.model=adapted

An interrupted adaptation is taken up by the same command; a finished one is not done again.
"""


def main(argv: Sequence[str]) -> None:
    """Adapt a model as the command line says; see --help."""
    arguments = parse_arguments(argv, {"-h": "help", "--help": "help"}, {"--output": "output"})
    if "help" in arguments.switches:
        print(HELP)
        return
    if "output" not in arguments.options:
        raise ConfigError("say where the model shall go: --output FOLDER")
    own = [word for word in arguments.overrides if word.startswith(PREFIX)]
    words = [word for word in arguments.overrides if word not in own]
    config = RunConfig.from_dict(compose_config(words))
    _check_words(words)
    settings = adapt_config(own, config.text)
    dataset = load_dataset(config.dataset.name)
    split = make_split(dataset, config.split.name, config.split.seed, **config.split.params)
    texts = node_texts(dataset, "item", config.text, split.fingerprint)
    output = Path(arguments.options["output"]).expanduser()
    folder = adapt_model(texts, output, settings, split.train, split.fingerprint)
    card = read_json(folder / CARD, {})
    first = card["losses"][0]["held_out"]
    print(
        f"held-out loss {first:.3f} -> {card['best']:.3f} at step {card['best_step']} of {card['step']}, "
        f"{card['cpu_seconds']:.0f} s of processor time\n{folder}"
    )
    if not card["best_step"]:
        print(
            "warning: no step lowered the held-out loss, so this is the model as it was: raise adapt.steps, or change "
            "adapt.lr",
            file=sys.stderr,
        )


def adapt_config(words: Sequence[str], text: TextConfig) -> AdaptConfig:
    """Return the settings of `adapt.KEY=VALUE` words; an unknown key is a ConfigError that names the nearest.

    So is a key of `text` that would be passed over here.
    """
    usual = TextConfig()
    for name, value in vars(text).items():
        if name not in TEXT_KEYS and value != getattr(usual, name):
            raise ConfigError(_passed_over(f"text.{name}", value))
    if text.model == "hash":
        raise ConfigError("text.model=hash has nothing to adapt: choose a language model, as in text=minilm")
    values: dict[str, Any] = {"model": text.model, "revision": text.revision}
    for word in words:
        key, equals, value = word.removeprefix(PREFIX).partition("=")
        if not equals:
            raise ConfigError(f"'{word}' must be KEY=VALUE")
        if key in TEXT_KEYS:
            raise ConfigError(f"'{word}' would stand in place of 'text.{key}': say 'text.{key}={value}'")
        values[key] = _value(word, value)
    return build({"_target_": "gnnrec.text.adapt_config.AdaptConfig", **values}, "adapt")


def _check_words(words: Sequence[str]) -> None:
    """Raise a ConfigError for a word of experiments/run.py that would be passed over here."""
    for override in parse(words):
        key = override.key_or_group
        if key.partition(".")[0] not in GROUPS:
            raise ConfigError(_passed_over(key, override.value()))


def _passed_over(key: str, value: object) -> str:
    name = key.rpartition(".")[2]
    instead = f"set '{PREFIX}{name}'" if hasattr(AdaptConfig, name) else "leave it out"
    return (
        f"'{key}' has no say in adapting, which reads texts as the model's own files say and takes "
        f"{', '.join(GROUPS[:2])}, {', '.join(f'text.{one}' for one in TEXT_KEYS)} and {PREFIX}KEY: {instead} "
        f"(got {value!r})"
    )


def _value(word: str, value: str) -> Any:
    with suppress(json.JSONDecodeError):
        return json.loads(value)
    try:
        return yaml.safe_load(value) if value else value
    except (yaml.YAMLError, ValueError) as error:  # a ValueError is a date that no calendar has
        raise ConfigError(f"the value of '{word}' is not YAML: write it as in {PREFIX}lr=1e-3") from error


if __name__ == "__main__":
    sys.exit(run_main(main))
