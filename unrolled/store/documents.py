"""JSON from outside: parsed within limits, or refused in one line."""

import json
import math
from pathlib import Path
from typing import Any, NoReturn

from unrolled.core.errors import RunError

SIZE_LIMIT = 32 * 2**20  # bytes; a vocabulary of a million words fits
DEPTH_LIMIT = 32


def parse_object(content: bytes, name: str, limit: int = SIZE_LIMIT) -> dict[str, Any]:
    """The JSON object in `content`; `name` is what errors call it.

    Raises: RunError if it is larger than `limit` bytes, nested too deep, not UTF-8, not an object, or if it holds
    duplicate keys, not-a-number constants or characters that cannot be written as UTF-8.
    """
    if len(content) > limit:
        raise RunError(f"{name}: larger than {limit} bytes, which no file of this kind needs: restore it from a copy")
    try:
        value = json.loads(content, object_pairs_hook=_unique, parse_constant=_refuse)
        _check(value, DEPTH_LIMIT)
    except (ValueError, RecursionError) as problem:
        reason = "nested too deep" if isinstance(problem, RecursionError) else str(problem)
        raise RunError(f"{name}: not usable JSON ({reason}): restore it from a copy") from None
    if not isinstance(value, dict):
        raise RunError(f"{name}: expected a JSON object, found {type(value).__name__}: restore it from a copy")
    return value


def read_object(path: Path, limit: int = SIZE_LIMIT) -> dict[str, Any]:
    """The JSON object in a file.

    Raises: RunError as `parse_object`, and if the file is missing, a link or unreadable.
    """
    return parse_object(read_bytes(path, limit), str(path), limit)


def read_bytes(path: Path, limit: int = SIZE_LIMIT) -> bytes:
    """The content of a plain file, at most one byte more than `limit`."""
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise RunError(f"{path}: a link or special file where a plain file is expected: replace it by a copy")
    try:
        with open(path, "rb") as file:
            return file.read(limit + 1)
    except FileNotFoundError:
        raise RunError(f"{path}: missing: restore it from a copy of the run") from None
    except OSError as problem:
        raise RunError(f"{path}: cannot be read ({problem.strerror}): check its permissions") from None


def to_bytes(value: Any, indent: int | None = None) -> bytes:
    """JSON in UTF-8, with tuples as lists, paths as text and numbers that JSON lacks as null."""
    return json.dumps(plain(value), ensure_ascii=False, indent=indent, allow_nan=False).encode("utf-8", "replace")


def plain(value: Any) -> Any:
    """`value` in the types that JSON has."""
    if isinstance(value, dict):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if hasattr(value, "item"):  # numpy and torch scalars
        return plain(value.item())
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        raise ValueError("a key appears twice")
    return result


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _check(value: Any, depth: int) -> None:
    if depth == 0:
        raise RecursionError
    if isinstance(value, str):
        value.encode()  # a lone surrogate is a UnicodeEncodeError, which is a ValueError
    elif isinstance(value, dict):
        for key, part in value.items():
            key.encode()
            _check(part, depth - 1)
    elif isinstance(value, list):
        for part in value:
            _check(part, depth - 1)
