"""Frozen dataclasses to JSON and back, with every key and type checked."""

import types
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from unrolled.core.errors import RunError
from unrolled.store.documents import plain

SCHEMA = 1  # of config.json and manifest.json
T = TypeVar("T")


def now() -> str:
    """The time in UTC as ISO 8601 text, to the microsecond."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


@dataclass(frozen=True)
class RunConfig:
    """What config.json holds: everything that made a run.

    `config` is the system's own dataclass, `data` the corpus (facts, fields, split), `training` the budget, plan and
    recipe, `command` what was typed.
    """

    system: str
    config: dict[str, Any]
    data: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    command: tuple[str, ...] = ()
    created: str = field(default_factory=now)
    unrolled: str = ""
    schema: int = SCHEMA


def to_json(config: Any) -> dict[str, Any]:
    """A dataclass as a JSON object."""
    return {item.name: plain(getattr(config, item.name)) for item in fields(config)}


def from_json(kind: type[T], data: Mapping[str, Any], source: str) -> T:
    """A dataclass from a JSON object; `source` is what errors call the object.

    Raises: RunError for unknown or missing keys and for values of another type.
    """
    hints = get_type_hints(kind)
    expected = {item.name: item for item in fields(kind)}  # pyright: ignore[reportArgumentType]
    for key in data:
        if key not in expected:
            near = get_close_matches(key, expected, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(expected)}"
            raise RunError(f"{source}: unknown setting {key!r}: {hint}")
    missing = [name for name, item in expected.items() if name not in data and _required(item)]
    if missing:
        raise RunError(f"{source}: setting {missing[0]!r} is missing: restore the file from a copy")
    return kind(**{key: _value(hints[key], value, f"{source}: {key}") for key, value in data.items()})


def check_schema(data: Mapping[str, Any], source: str) -> None:
    """Raises: RunError if the file was written by a newer version, or does not say by which."""
    schema = data.get("schema")
    if not isinstance(schema, int) or isinstance(schema, bool) or schema < 1:
        raise RunError(f"{source}: 'schema' must be a whole number from 1, found {schema!r}: not a file of unrolled")
    if schema > SCHEMA:
        version = f" {data['unrolled']}" if data.get("unrolled") else ""
        raise RunError(
            f"{source}: written by a newer unrolled{version} (schema {schema}, this one reads up to {SCHEMA}): "
            "upgrade with pip install --upgrade unrolled"
        )


def _required(item: Any) -> bool:
    return item.default is MISSING and item.default_factory is MISSING


def _value(hint: Any, value: Any, source: str) -> Any:
    """`value` from JSON as the type `hint`."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return _alternative(parts, value, source)
    if origin in (tuple, list) and isinstance(value, list):
        kinds = [parts[0]] * len(value) if origin is list or parts[1:] == (...,) else parts
        if len(kinds) == len(value):
            return origin(_value(kind, part, source) for kind, part in zip(kinds, value, strict=True))
    if (origin or hint) is dict and isinstance(value, dict):
        inner = parts[1] if parts else Any
        return {key: _value(inner, part, f"{source}.{key}") for key, part in value.items()}
    if hint is float and type(value) is int:
        return float(value)
    if hint is Path and isinstance(value, str):
        return Path(value)
    if hint is Any or type(value) is hint or (origin is Literal and value in parts):
        return value
    raise RunError(f"{source}: expected {readable(hint)}, found {value!r}: correct the file or restore it from a copy")


def _alternative(hints: tuple[Any, ...], value: Any, source: str) -> Any:
    for hint in hints:
        try:
            return _value(hint, value, source)
        except RunError:
            continue
    expected = " or ".join(readable(hint) for hint in hints)
    raise RunError(f"{source}: expected {expected}, found {value!r}: correct the file or restore it from a copy")


def readable(hint: Any) -> str:
    """A type in words for an error message."""
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(str(part) for part in get_args(hint))
    names = {int: "a whole number", float: "a number", str: "text", bool: "true or false", type(None): "null"}
    return names.get(hint, str(hint).replace("typing.", ""))
