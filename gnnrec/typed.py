"""Typed objects from plain mappings: configurations by their fields, models by the class that they name."""

from __future__ import annotations

import importlib
import inspect
import sys
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from gnnrec.errors import ConfigError, suggest

TARGET = "_target_"
SCALARS = (int, float, bool, str, type(None))
SEQUENCES = (tuple, list, Sequence)
TYPE_NAMES: dict[Any, str] = {Sequence: "list", tuple: "list", Callable: "{_target_: ...}"}


def build(spec: Any, where: str, **extra: Any) -> Any:
    """Build the object that a dictionary names: {"_target_": "package.Class", argument: value, ...}.

    Dictionaries with a `_target_`, also inside lists and other dictionaries, are built first. `extra` arguments are
    given where the class has them and the dictionary does not set them, to the objects inside, too. An unknown class
    or argument is a ConfigError that names the nearest known one, and so is an argument of another type than the
    class asks for, as far as these are numbers, truth values, texts, functions or lists of them.
    """
    if not isinstance(spec, Mapping) or TARGET not in spec:
        raise ConfigError(f"'{where}' must be a mapping with the key '{TARGET}' (got {spec!r})")
    factory = _locate(str(spec[TARGET]), where)
    arguments = {k: _build_nested(v, f"{where}.{k}", extra) for k, v in spec.items() if k != TARGET}
    known = _parameters(factory, where)
    for name in arguments:
        if name not in known:
            raise ConfigError(f"unknown key '{where}.{name}'{suggest(name, known)}")
    hints = _plain_hints(factory)
    arguments |= {k: _convert(hints[k], v, f"{where}.{k}") for k, v in arguments.items() if k in hints}
    arguments |= {k: v for k, v in extra.items() if k in known and k not in arguments}
    missing = [n for n, p in known.items() if p.default is p.empty and p.kind == p.POSITIONAL_OR_KEYWORD]
    missing = [name for name in missing if name not in arguments]
    if missing:
        raise ConfigError(f"'{where}' lacks the key '{missing[0]}' of '{spec[TARGET]}'")
    try:
        return factory(**arguments)
    except (TypeError, AttributeError) as error:
        raise ConfigError(f"'{where}' cannot be built from {dict(spec)!r}: {error}") from error


def _parameters(factory: Any, where: str) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(factory).parameters
    except ValueError as error:
        raise ConfigError(f"'{where}.{TARGET}' must name a class or function of Python ({error})") from error


def _build_nested(value: Any, where: str, extra: Mapping[str, Any]) -> Any:
    if isinstance(value, Mapping):
        if TARGET in value:
            return build(value, where, **extra)
        return {key: _build_nested(part, f"{where}.{key}", extra) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_build_nested(part, f"{where}[{index}]", extra) for index, part in enumerate(value)]
    return value


def takes_whole_number(cls: type, values: Mapping[str, Any], key: str) -> bool:
    """Return whether the dotted `key` of the values of a `cls` is a whole number for the class that takes it."""
    *path, name = key.split(".")
    node: Any = values
    hints: dict[str, Any] = typing.get_type_hints(cls)
    for part in path:
        node = node.get(part) if isinstance(node, Mapping) else None
        inner = hints.get(part)
        hints = typing.get_type_hints(inner) if is_dataclass(inner) else {}
        if isinstance(node, Mapping) and TARGET in node:
            hints = _plain_hints(_locate(str(node[TARGET]), ".".join(path)))
    return {int} == {*_options(hints.get(name))} - {type(None)}


def _plain_hints(factory: Any) -> dict[str, Any]:
    """Return the parameters that `_convert` can check, with their types."""
    try:
        hints = typing.get_type_hints(factory.__init__ if inspect.isclass(factory) else factory)
    except (NameError, TypeError):
        return {}  # a class of others may name types that only a type checker imports, or none
    return {name: hint for name, hint in hints.items() if _is_plain(hint)}


def _is_plain(hint: Any) -> bool:
    """Return whether a type is a number, a truth value, text, a list, a function or None, or one of these."""
    return all(option in SCALARS or _is_list_or_function(option) for option in _options(hint))


def _is_list_or_function(hint: Any) -> bool:
    origin = typing.get_origin(hint)
    if origin is tuple:
        return Ellipsis in typing.get_args(hint)  # a tuple[str, int] is no list: its entries differ in type
    return origin in (*SEQUENCES, Callable)


def _options(hint: Any) -> tuple[Any, ...]:
    union = typing.get_origin(hint) in (types.UnionType, typing.Union)  # X | Y, or Optional[X]
    return typing.get_args(hint) if union else (hint,)


def _locate(path: str, where: str) -> Any:
    module_name, _, name = path.rpartition(".")
    if not module_name or module_name.startswith("."):
        raise ConfigError(f"'{where}.{TARGET}' must be package.module.Class (got '{path}')")
    if module_name.partition(".")[0] in sys.stdlib_module_names:  # os.system is no part of a model
        raise ConfigError(
            f"'{where}.{TARGET}' names '{path}' of Python itself: name a class of gnnrec or of your own code"
        )
    try:
        module = importlib.import_module(module_name)
    except (ImportError, ValueError) as error:
        raise ConfigError(
            f"'{where}.{TARGET}' names '{path}', whose module cannot be imported ({error})"
        ) from error
    if not callable(getattr(module, name, None)):
        known = [n for n, v in vars(module).items() if inspect.isclass(v) and not n.startswith("_")]
        raise ConfigError(f"'{where}.{TARGET}': no '{name}' in '{module_name}'{suggest(name, known)}")
    return getattr(module, name)


def read(cls: type, values: Any, where: str = "") -> Any:
    """Return a dataclass from nested mappings; unknown keys and wrong types are ConfigErrors."""
    if not isinstance(values, Mapping):
        raise ConfigError(f"'{where}' must be a mapping of keys (got {values!r})")
    known = {f.name: f for f in fields(cls)}
    hints = typing.get_type_hints(cls)
    arguments = {}
    for name, value in values.items():
        path = f"{where}.{name}" if where else str(name)
        if name not in known:
            raise ConfigError(f"unknown key '{path}'{suggest(str(name), known)}")
        arguments[name] = _convert(hints[name], value, path)
    return cls(**arguments)


def _convert(hint: Any, value: Any, path: str) -> Any:
    if is_dataclass(hint):
        return read(typing.cast(type, hint), value, path)
    options = _options(hint)
    if value is None and type(None) in options:
        return None
    for option in options:
        origin = typing.get_origin(option) or option
        if origin in SEQUENCES and isinstance(value, list | tuple):
            inner = typing.get_args(option)[0]
            parts = [_convert(inner, part, f"{path}[]") if _is_plain(inner) else part for part in value]
            return tuple(parts) if origin is tuple else parts
        if origin is float and isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        if origin is dict and isinstance(value, Mapping):
            inner = typing.get_args(option)[-1]
            if is_dataclass(inner):
                return {str(k): read(typing.cast(type, inner), v, f"{path}.{k}") for k, v in value.items()}
            return as_mappings(value)
        if (
            isinstance(origin, type)
            and origin not in SEQUENCES
            and isinstance(value, origin)
            and (origin is bool or not isinstance(value, bool))
        ):
            return value
    kinds: list[Any] = [typing.get_origin(option) or option for option in options if option is not type(None)]
    expected = " or ".join(TYPE_NAMES.get(kind) or kind.__name__ for kind in kinds)
    raise ConfigError(f"'{path}' must be of type {expected} (got {value!r})")


def as_mappings(value: Any) -> Any:
    """Return dataclasses, mappings and sequences as nested dictionaries and lists."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: as_mappings(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(k): as_mappings(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [as_mappings(part) for part in value]
    return value
