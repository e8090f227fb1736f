"""Command-line overrides and conf/ become one dictionary; a mistake is one line with the nearest name."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException
from yaml import YAMLError

from experiments.inherited import replaced_arguments
from gnnrec.data.splits import SPLITS
from gnnrec.errors import ConfigError, suggest
from gnnrec.typed import TARGET

# Where keys may be added: which there are depends on a name beside them.
OPEN = ("split.params", "model.objective")
CONF = Path(__file__).resolve().parent / "conf"


def config_groups(conf: Path = CONF) -> dict[str, dict[str, str]]:
    """Return group -> option -> what the first comment line of its file says."""
    groups: dict[str, dict[str, str]] = {}
    for folder in sorted(path for path in conf.iterdir() if path.is_dir()):
        files = sorted(folder.glob("*.yaml"))
        groups[folder.name] = {file.stem: _first_comment(file) for file in files}
    return groups


def expand(overrides: Sequence[str]) -> list[list[str]]:
    """Return a list of overrides for each combination of the values: `model=a,b seed=0,1` gives four."""
    choices: list[list[str]] = []
    for text, override in zip(overrides, parse(overrides)):
        if not override.is_sweep_override():
            choices.append([text])
        else:
            name = text.split("=", 1)[0]
            choices.append([f"{name}={value}" for value in sweep_values(text, override)])
    return [list(job) for job in itertools.product(*choices)]


def compose_config(overrides: Sequence[str], conf: Path = CONF) -> dict[str, Any]:
    """Return the resolved configuration of `run.yaml` with these overrides as a plain dictionary.

    Raises a ConfigError for what cannot be read, an unknown group, option or key, several values where one is
    meant, and a value that is missing.
    """
    groups = config_groups(conf)
    chosen: list[str] = []
    values: list[Override] = []
    for text, override in zip(overrides, parse(overrides)):
        if override.is_sweep_override():
            raise ConfigError(
                f"'{text}' gives several values: add -m to run each of them (in a table, write a row for each)"
            )
        if override.key_or_group in groups:
            _check_option(text, override, groups)
            chosen.append(text)
        elif override.is_delete():
            raise ConfigError(f"'{text}' cannot delete a key: {_instead_of_deleting(override.key_or_group)}")
        else:
            values.append(override)
    with _told(conf):
        config = copy.deepcopy(_compose(tuple(chosen), conf))
        tree = OmegaConf.to_container(config)
        for override in values:
            for key, value in _parts(config, override.key_or_group, override.value()):
                if not override.is_add():
                    _check_key(key, tree, groups)
                OmegaConf.update(config, key, value, merge=False, force_add=override.is_add())
        resolved = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    assert isinstance(resolved, dict)
    return {str(name): value for name, value in resolved.items()}


def sweep_values(text: str, override: Override) -> list[str]:
    """Return the values that an override lists, or a ConfigError for one that describes them in another way."""
    try:
        return list(override.sweep_string_iterator())
    except (HydraException, ValueError) as error:
        raise ConfigError(
            f"'{text}' is no list of values: write them out, as in {override.key_or_group}=1,2,3"
        ) from error


def parse(overrides: Sequence[str]) -> list[Override]:
    """Return what these words say; a ConfigError names one that cannot be read."""
    parser = OverridesParser.create()
    parsed = []
    for text in overrides:
        try:
            parsed.append(parser.parse_override(text))
        except (HydraException, OmegaConfBaseException) as error:
            raise ConfigError(
                f"cannot read '{text}': write key=value, as in model=lightgcn train.lr=1e-3"
            ) from error
    return parsed


def _instead_of_deleting(key: str) -> str:
    is_term = key.startswith("model.objective.") and key.count(".") == 2
    return f"{key}.weight=0 leaves that term out" if is_term else "give it a value, for example null"


def _check_option(text: str, override: Override, groups: Mapping[str, Mapping[str, str]]) -> None:
    group, value = override.key_or_group, override.value()
    if override.is_delete() or value in (None, "", []):
        known = ", ".join(sorted(groups[group]))
        raise ConfigError(
            f"'{text}' chooses no option: write {group}=NAME, or nothing for the usual one (known: {known})"
        )
    if isinstance(value, list) and group != "experiment":  # experiments are laid one over the other
        raise ConfigError(f"'{group}' takes one option (got {value}): with -m, {group}=A,B runs each of them")
    for option in value if isinstance(value, list) else [value]:
        if str(option) not in groups[group]:
            by_name = group == "split" and str(option) in SPLITS
            hint = (
                f"; split.name={option} chooses that split, +split.params.OPTION=VALUE its options"
                if by_name
                else ""
            )
            known = suggest(str(option), groups[group])
            raise ConfigError(f"unknown option '{option}' for '{group}'{known}{hint}")


def _parts(config: DictConfig, key: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the keys to set: where keys stand already those in braces, each with what they hold.

    A class in braces is meant whole: arguments of the class that stood there are none of its own. So are empty braces.
    """
    keys = isinstance(value, dict) and value and TARGET not in value
    if keys and OmegaConf.is_dict(OmegaConf.select(config, key)):
        for name, inner in value.items():
            yield from _parts(config, f"{key}.{name}", inner)
    else:
        yield key, value


def _check_key(key: str, tree: Any, groups: Iterable[str]) -> None:
    node: Any = tree
    known: set[str] = set(groups)
    seen: list[str] = []
    for part in key.split("."):
        here = set(node) if isinstance(node, Mapping) else set()
        if part not in here:
            names = [".".join([*seen, name]) for name in (here if seen else here | known)]
            whole = ".".join([*seen, part])
            known_below = suggest(whole, names) if names else f": '{'.'.join(seen)}' has no keys below it"
            # a class has arguments that its file need not set
            hint = f"; +{key}=VALUE adds one" if ".".join(seen) in OPEN or TARGET in here else ""
            raise ConfigError(f"unknown key '{whole if names else key}'{known_below}{hint}")
        node = node[part]
        seen.append(part)


@lru_cache(maxsize=256)  # the rows of a table differ in few options, its seeds in none
def _compose(chosen: tuple[str, ...], conf: Path) -> DictConfig:
    with initialize_config_dir(version_base="1.3", config_dir=str(conf)):
        config = compose("run", overrides=list(chosen), return_hydra_config=True)
    files = _files_of_models(config.hydra.runtime.choices.get("model"), chosen, conf)
    with open_dict(config):
        del config["hydra"]
        for key in sorted(replaced_arguments(files), key=len, reverse=True):
            parent, _, name = key.rpartition(".")
            node = OmegaConf.select(config, parent)
            if OmegaConf.is_dict(node):  # a later file may have put null there
                node.pop(name, None)
    return config


def _files_of_models(model: str | None, chosen: Sequence[str], conf: Path) -> list[tuple[str, Path]]:
    """Return the files that say what is trained, each with where it goes, in the order of composition."""
    files = [("model", conf / "model" / f"{model}.yaml")] if model else []
    for override in parse(chosen):
        if override.key_or_group == "experiment":
            names = override.value()
            for name in names if isinstance(names, list) else [names]:
                files.append(("", conf / "experiment" / f"{name}.yaml"))
    return files


@contextmanager
def _told(conf: Path) -> Iterator[None]:
    """Turn the errors of Hydra and OmegaConf into one line."""
    try:
        yield
    except MissingMandatoryValue as error:
        key = getattr(error, "full_key", None) or "a key"
        raise ConfigError(f"'{key}' has no value: give {key}=VALUE") from error
    except MissingConfigException as error:
        raise ConfigError(_missing_option(error, conf)) from error
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(" ".join(str(error).split())) from error
    except YAMLError as error:
        raise ConfigError(
            f"cannot read a YAML of the configuration: {' '.join(str(error).split())}"
        ) from error


def _missing_option(error: MissingConfigException, conf: Path) -> str:
    """Return what to tell of a name in the `defaults` of a YAML that is no file."""
    told = " ".join(str(error).split()).partition(" Config search path")[0]
    group, _, name = (error.missing_cfg_file or "").rpartition("/")  # type: ignore[union-attr]
    known = config_groups(conf).get(group.lstrip("/"), {})
    return f"{told.rstrip('.')}, which its 'defaults' name{suggest(name, known) if known else ''}"


def _first_comment(file: Path) -> str:
    for line in file.read_text(encoding="utf-8").splitlines():
        if not line.startswith("# @package"):
            return line.lstrip("# ").rstrip() if line.startswith("#") else ""
    return ""
