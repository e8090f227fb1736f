"""What a model's own files say about pooling, prompts and lengths."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from gnnrec.errors import ConfigError
from gnnrec.text.config import TextConfig
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
    modules = read_json(model.path / "modules.json", [])
    kinds = {str(module.get("type", "")).rsplit(".", 1)[-1]: module for module in modules}
    unknown = sorted(set(kinds) - {"Transformer", "Pooling", "Normalize", "Dense", "Dropout"})
    if unknown and config.pooling is None:
        raise ConfigError(
            f"text model '{model.name}' has a module {unknown[0]} that gnnrec cannot apply; "
            "set text.pooling to leave the model's own modules out"
        )
    pooling_file = model.path / kinds["Pooling"]["path"] / "config.json" if "Pooling" in kinds else None
    saved = read_json(pooling_file, {}) if pooling_file else {}
    dense = tuple(str(m["path"]) for m in modules if str(m.get("type", "")).endswith(".Dense"))
    return Settings(
        pooling=config.pooling or _own_pooling(model, saved),
        prompt=_prompt(model, config.prompt),
        pool_prompt=bool(saved.get("include_prompt", True)),
        dense=dense if config.pooling is None else (),
        lower_case=bool(read_json(model.path / "sentence_bert_config.json", {}).get("do_lower_case", False)),
    )


def _own_pooling(model: ModelFolder, saved: dict[str, Any]) -> str:
    flags = [name for name, value in saved.items() if name.startswith("pooling_mode_") and value is True]
    mode = saved.get("pooling_mode")
    modes = [mode] if isinstance(mode, str) else mode or [_POOLING_FLAGS.get(name, name) for name in flags]
    if not modes:
        return (
            "last" if _is_causal(str(read_json(model.path / "config.json", {}).get("model_type"))) else "mean"
        )
    names = {"mean": "mean", "cls": "cls", "last": "last", "lasttoken": "last"}
    if len(modes) != 1 or modes[0] not in names:
        raise ConfigError(
            f"text model '{model.name}' asks for pooling {'+'.join(map(str, modes))}, which is not here; "
            "set text.pooling to mean, cls, last or eos"
        )
    return names[modes[0]]


def _is_causal(model_type: str) -> bool:
    """Return whether models of a type are made to write: the architecture's name is lost where a head is left out."""
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    )

    # BERT and its like have a causal head, too
    return (
        model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
        and model_type not in MODEL_FOR_MASKED_LM_MAPPING_NAMES
    )


def _prompt(model: ModelFolder, prompt: str | None) -> str:
    saved = read_json(model.path / "config_sentence_transformers.json", {})
    prompts = saved.get("prompts") or {}
    if prompt is None:
        return str(prompts.get(saved.get("default_prompt_name"), ""))
    return str(prompts.get(prompt, prompt))
