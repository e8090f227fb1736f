"""What a model's own files say about pooling, prompts and lengths."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gnnrec.errors import ConfigError, DataError
from gnnrec.text.config import TextConfig
from gnnrec.text.dense import NORMALIZE
from gnnrec.text.models import ModelFolder, read_json

_POOLING_FLAGS = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_lasttoken": "last",
}


@dataclass(frozen=True)
class Settings:
    """The resolved way from tokens to a vector; part of the address in the cache."""

    pooling: str
    prompt: str
    pool_prompt: bool
    dense: tuple[str, ...]
    lower_case: bool

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def read_settings(model: ModelFolder, config: TextConfig) -> Settings:
    """Return pooling, prompt and dense layers: the config's, else those of the sentence-transformers files.

    Without such files, pooling is 'last' for causal language models, with or without their head, and 'mean' for all
    others.
    """
    modules = read_modules(model)
    paths = dict(modules)
    unknown = sorted(paths.keys() - {"Transformer", "Pooling", "Normalize", "Dense", "Dropout"})
    if unknown and config.pooling is None:
        raise ConfigError(
            f"text model '{model.name}' has a module {unknown[0]} that gnnrec cannot apply; "
            "set text.pooling to leave the model's own modules out"
        )
    pooling_file = model.path / paths["Pooling"] / "config.json" if "Pooling" in paths else None
    saved = read_json(pooling_file, {}) if pooling_file else {}
    return Settings(
        pooling=config.pooling or _own_pooling(model, saved),
        prompt=_prompt(model, config.prompt),
        pool_prompt=bool(saved.get("include_prompt", True)),
        dense=_after_pooling(modules) if config.pooling is None else (),
        lower_case=bool(read_json(model.path / "sentence_bert_config.json", {}).get("do_lower_case", False)),
    )


def read_modules(model: ModelFolder) -> list[tuple[str, str]]:
    """Return kind and path of each sentence-transformers module, in the order in which they are applied."""
    file = model.path / "modules.json"
    modules = read_json(file, [])
    if not all(isinstance(module, dict) and isinstance(module.get("path"), str) for module in modules):
        raise DataError(f"'{file}' must hold a list of objects with 'type' and 'path', a text")
    for module in modules:
        # Folders below these are no part of the model's identity, by which vectors are cached.
        if Path(module["path"]).name != module["path"] or module["path"] == "..":
            raise DataError(
                f"'{file}' names the module '{module['path']}', but only folders directly in '{model.path}' are read: "
                "save the model again with sentence-transformers"
            )
    return [(str(module.get("type", "")).rsplit(".", 1)[-1], module["path"]) for module in modules]


def _after_pooling(modules: list[tuple[str, str]]) -> tuple[str, ...]:
    """Return the paths of the Dense modules, with NORMALIZE where a Normalize stands before one of them.

    After the last Dense, `text.normalize` decides.
    """
    steps = [
        NORMALIZE if kind == "Normalize" else path for kind, path in modules if kind in ("Dense", "Normalize")
    ]
    while steps and steps[-1] == NORMALIZE:
        del steps[-1]
    return tuple(steps)


def _own_pooling(model: ModelFolder, saved: dict[str, Any]) -> str:
    flags = [name for name, value in saved.items() if name.startswith("pooling_mode_") and value is True]
    mode = saved.get("pooling_mode")
    modes = [mode] if isinstance(mode, str) else mode or [_POOLING_FLAGS.get(name, name) for name in flags]
    if not modes:
        return "last" if is_causal(model) else "mean"
    names = {"mean": "mean", "cls": "cls", "last": "last", "lasttoken": "last"}
    if len(modes) != 1 or modes[0] not in names:
        raise ConfigError(
            f"text model '{model.name}' asks for pooling {'+'.join(map(str, modes))}, which is not here; "
            "set text.pooling to mean, cls, last or eos"
        )
    return names[modes[0]]


def is_causal(model: ModelFolder) -> bool:
    """Return whether a model is of a type made to write: the architecture's name is lost where a head is left out."""
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    )

    model_type = str(read_json(model.path / "config.json", {}).get("model_type"))
    # BERT and its like have a causal head, too
    return (
        model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
        and model_type not in MODEL_FOR_MASKED_LM_MAPPING_NAMES
    )


def _prompt(model: ModelFolder, prompt: str | None) -> str:
    file = model.path / "config_sentence_transformers.json"
    saved = read_json(file, {})
    prompts = saved.get("prompts") or {}
    if not isinstance(prompts, dict):
        raise DataError(f"'prompts' in '{file}' must be an object of names and texts (got {prompts!r})")
    if prompt is None:
        return str(prompts.get(saved.get("default_prompt_name"), ""))
    return str(prompts.get(prompt, prompt))
