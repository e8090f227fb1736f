"""Adapting a language model to the texts and the train interactions of a data set."""

from __future__ import annotations

import glob
import hashlib
import json
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gnnrec.data.interactions import Interactions
from gnnrec.devices import resolve_device
from gnnrec.errors import ConfigError, DataError, GnnrecError
from gnnrec.files import only_writer
from gnnrec.text.adapt_config import AdaptConfig
from gnnrec.text.adapt_loop import train_weights
from gnnrec.text.adapt_objectives import DrawLoss, mlm_losses, pair_losses, text_losses
from gnnrec.text.cache import text_keys
from gnnrec.text.config import TextConfig
from gnnrec.text.models import CARD, ModelFolder, check_split, find_model, read_json
from gnnrec.text.settings import read_modules, read_settings
from gnnrec.text.synonyms import replace_by_synonyms
from gnnrec.text.transformer import TransformerEncoder, load_model, load_tokenizer, pad_batch, quiet

_CHUNK = 64


def adapt_model(
    texts: Sequence[str],
    folder: str | Path,
    config: AdaptConfig,
    train: Interactions | None = None,
    split: str | None = None,
) -> Path:
    """Adapt a language model and write it as a model folder that `text.model` takes; return the folder.

    texts: one per item, '' for none; only those of items that `train` has are learned from, where it is
    given. split: the fingerprint of the split `train` is of; it goes into the folder's card, and using the
    model with another split is an error.

    A folder that holds the result of the same texts and settings is returned as it is. An interrupted
    adaptation is taken up at its last checkpoint (`FOLDER.checkpoint.safetensors`) and gives the same result;
    while another process is at it, it is a DataError.
    Randomness depends on the seed and the step alone.
    """
    config = replace(config, device=resolve_device(config.device, "adapt.device"))
    folder = Path(folder)
    model = find_model(config.model, config.revision)
    check_split(model, split)
    synonym_model = _synonym_model(config, split)
    texts = _learnable(texts, config, train, split)
    fingerprint = _fingerprint(model, synonym_model, texts, config, train, split)
    if _is_finished(folder, fingerprint):
        return folder
    with only_writer(folder):
        if _is_finished(folder, fingerprint):  # by another process, meanwhile
            return folder
        _delete_leftovers(folder)
        with torch.random.fork_rng():
            # The new weights of LoRA and of heads are drawn here.
            torch.manual_seed(config.seed)
            encoder, network = _load(model, config)
            draw, held_out = _losses(encoder, network, synonym_model, texts, config, train)
            start = {name: value.detach().clone() for name, value in _trained(network)}
            progress = train_weights(network, draw, held_out, config, fingerprint, _checkpoint(folder))
            _mix(network, start, config.mix)
        base = {"base": model.name, "base_identity": model.identity}
        card = {"split": split, **base, **asdict(progress), "config": asdict(config)}
        _write_folder(folder, model, network, encoder.tokenizer, card)
        _checkpoint(folder).unlink(missing_ok=True)
    return folder


def _is_finished(folder: Path, fingerprint: str) -> bool:
    if not folder.exists():
        return False
    if read_json(folder / CARD, {}).get("fingerprint") == fingerprint:
        return True
    raise ConfigError(f"'{folder}' is there already and is another model: choose another folder or delete it")


def _delete_leftovers(folder: Path) -> None:
    """Delete what a killed process had begun to write: a half folder or a half checkpoint."""
    for path in (folder, _checkpoint(folder)):
        # Eight random characters: a star would take those of a model NAME.SUFFIX beside this one, too.
        for left in folder.parent.glob(f".{glob.escape(path.name)}.????????.part"):
            with suppress(OSError):
                shutil.rmtree(left) if left.is_dir() else left.unlink()


def _checkpoint(folder: Path) -> Path:
    return folder.with_name(folder.name + ".checkpoint.safetensors")


def _synonym_model(config: AdaptConfig, split: str | None) -> ModelFolder | None:
    if not config.synonyms:
        return None
    if config.synonym_model is None:
        raise ConfigError(
            "'synonyms' in 'adapt' needs 'synonym_model', a masked language model with the same tokenizer"
        )
    model = find_model(config.synonym_model)
    check_split(model, split)
    return model


def _learnable(
    texts: Sequence[str], config: AdaptConfig, train: Interactions | None, split: str | None
) -> list[str]:
    if train is None:
        if config.objective == "pairs":
            raise ConfigError("'objective' pairs needs the train interactions: give 'train'")
        return list(texts)
    if split is None:
        raise ConfigError("adapting on train interactions needs the fingerprint of their split: give 'split'")
    if len(texts) != train.num_items:
        raise DataError(f"there must be one text per item (expected {train.num_items}, got {len(texts)})")
    return [text if count else "" for text, count in zip(texts, train.item_counts())]


def _fingerprint(
    model: ModelFolder,
    synonym_model: ModelFolder | None,
    texts: list[str],
    config: AdaptConfig,
    train: Interactions | None,
    split: str | None,
) -> str:
    settings = asdict(config)
    # The identity says which model, however it is spelt.
    for name in ("device", "checkpoint_every", "model", "revision"):
        del settings[name]
    settings["synonym_model"] = synonym_model and synonym_model.identity
    # The split by itself, too: the folder names it, and other splits may have the same train part.
    parts = [model.identity, settings, None if train is None else train.fingerprint(), split]
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode())
    for key in text_keys(texts):
        digest.update(key)
    return digest.hexdigest()


def _load(model: ModelFolder, config: AdaptConfig) -> tuple[TransformerEncoder, Any]:
    """Return the encoder and the network to train, with LoRA around it where asked for."""
    text_config = TextConfig(
        model=config.model,
        max_length=config.max_length,
        batch_tokens=max(TextConfig.batch_tokens, config.max_length),
        device=config.device,
    )
    settings = read_settings(model, text_config)
    if settings.dense:
        raise ConfigError(
            f"text model '{model.name}' has dense layers after pooling and cannot be adapted here"
        )
    encoder = TransformerEncoder(model, settings, text_config, torch.float32)
    if config.objective == "mlm":
        if encoder.tokenizer.mask_token_id is None:
            raise ConfigError("'objective' mlm needs a model with a mask token: use 'texts' or 'pairs'")
        network = _masked_model(model, config).to(config.device)
    else:
        network = encoder.model
    network.requires_grad_(True)
    network.get_input_embeddings().weight.requires_grad_(not config.freeze_embeddings)
    return encoder, _with_lora(network, config) if config.lora_rank else network


def _masked_model(model: ModelFolder, config: AdaptConfig) -> Any:
    try:
        return load_model(model, head="AutoModelForMaskedLM", new_head=not config.lora_rank)
    except DataError as error:
        if not config.lora_rank:
            raise
        raise ConfigError(
            f"'lora_rank' in 'adapt' trains no new head, which 'objective' mlm would need: set it to 0 ({error})"
        ) from error


def _with_lora(network: Any, config: AdaptConfig) -> Any:
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise ConfigError('LoRA needs peft: pip install "gnnrec[adapt]" (or adapt.lora_rank=0)') from error
    lora = LoraConfig(r=config.lora_rank, lora_alpha=config.lora_alpha, target_modules="all-linear")
    return get_peft_model(network, lora)


def _trained(network: Any) -> list[tuple[str, Tensor]]:
    return [(name, value) for name, value in network.named_parameters() if value.requires_grad]


@torch.no_grad()
def _mix(network: Any, start: dict[str, Tensor], share: float) -> None:
    """Move the trained weights to start + share (weights - start); of LoRA's B A only B, which starts at 0."""
    for name, value in _trained(network):
        if "lora_A" not in name:
            value.copy_(torch.lerp(start[name], value, share))


def _losses(
    encoder: TransformerEncoder,
    network: Any,
    synonym_model: ModelFolder | None,
    texts: list[str],
    config: AdaptConfig,
    train: Interactions | None,
) -> tuple[DrawLoss, DrawLoss]:
    tokens = [ids if text.strip() else [] for ids, text in zip(encoder.tokenize(texts), texts)]

    def encode(batch: Sequence[list[int]]) -> Tensor:
        order = sorted(range(len(batch)), key=lambda row: -len(batch[row]))
        parts = []
        # Chunks of like length: padding would cost more than the texts themselves.
        for start in range(0, len(order), _CHUNK):
            ids, mask = pad_batch([batch[row] for row in order[start : start + _CHUNK]], encoder.pad)
            ids, mask = ids.to(config.device), mask.to(config.device)
            states = network(input_ids=ids, attention_mask=mask).last_hidden_state
            parts.append(encoder.pooled(states, mask))
        return torch.cat(parts)[torch.from_numpy(np.argsort(order)).to(config.device)]

    if config.objective == "mlm":
        return mlm_losses(network, encoder.tokenizer, tokens, config)
    if config.objective == "pairs":
        assert train is not None
        return pair_losses(encode, tokens, train, config)
    readings = [tokens]
    if synonym_model is not None:
        if load_tokenizer(synonym_model).get_vocab() != encoder.tokenizer.get_vocab():
            raise ConfigError(
                f"'synonym_model' in 'adapt' must have the tokens of '{encoder.name}', which it replaces one by one "
                f"(got '{synonym_model.name}' with others): choose a masked language model with the same tokenizer"
            )
        masked = load_model(synonym_model, head="AutoModelForMaskedLM")
        masked = masked.eval().to(config.device)
        readings.append(replace_by_synonyms(masked, encoder.tokenizer, tokens, config.synonyms, config.seed))
    special = frozenset(encoder.tokenizer.all_special_ids)
    return text_losses(encode, readings, special, encoder.prompt_length, config)


def _write_folder(
    folder: Path, model: ModelFolder, network: Any, tokenizer: Any, card: dict[str, Any]
) -> None:
    """Write weights, tokenizer, sentence-transformers files and card; the folder appears by renaming."""
    if card["config"]["lora_rank"]:
        network = network.merge_and_unload()
    if card["config"]["objective"] == "mlm":
        network = getattr(network, network.base_model_prefix)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".part", dir=folder.parent))
    except OSError as error:
        raise GnnrecError(f"cannot write '{folder}': {error.strerror or error}") from error
    try:
        temporary.chmod(0o755)
        with quiet():
            network.save_pretrained(temporary)
            tokenizer.save_pretrained(temporary)
        for name in ("modules.json", "sentence_bert_config.json", "config_sentence_transformers.json"):
            if (model.path / name).is_file():
                shutil.copy(model.path / name, temporary / name)
        for _, path in read_modules(model):
            source = model.path / path / "config.json"
            if path and source.is_file():
                (temporary / path).mkdir()
                shutil.copy(source, temporary / path / "config.json")
        (temporary / CARD).write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
        temporary.rename(folder)
    except Exception as error:  # safetensors and tokenizers hide the system's error in others of their own
        raise GnnrecError(
            f"cannot write '{folder}': {getattr(error, 'strerror', None) or error}; nothing was left there"
        ) from error
    finally:
        with suppress(OSError):
            shutil.rmtree(temporary)
