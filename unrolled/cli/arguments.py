"""Frozen dataclasses as command lines: fields are options, the text below a field is its help.

`int`, `float`, `str`, `Path`, `Literal` and `X | None` take one value, `bool` is `--name` or `--no-name`,
`tuple[X, ...]` may be repeated, `dict[str, str]` is repeated as key=value.
"""

import argparse
import ast
import inspect
import math
import types
from collections.abc import Sequence
from dataclasses import MISSING, Field, field, fields
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple, NoReturn, Union, get_args, get_origin, get_type_hints

from unrolled.core.errors import UsageError

METAVARS = {int: "N", float: "X", str: "TEXT", Path: "PATH"}
EXPECTED = {int: "a whole number", float: "a number"}


class Parsed(NamedTuple):
    """One instance of each dataclass, and the names of the fields that were typed rather than left at their default."""

    values: tuple[Any, ...]
    given: frozenset[str]


def positional(**keywords: Any) -> Any:
    """A field that is typed without its name; keywords as of `dataclasses.field`."""
    return field(metadata={"positional": True}, **keywords)


def option(*short: str, metavar: str | None = None, **keywords: Any) -> Any:
    """A field with short forms such as "-n" or with another word for its value; keywords as of `dataclasses.field`."""
    return field(metadata={"short": short, "metavar": metavar}, **keywords)


def parse(command: str, description: str | None, arguments: Sequence[str], *kinds: type) -> Parsed:
    """One command line into several dataclasses, whose options stand side by side.

    Raises: UsageError, in one line; SystemExit(0) after `--help`.
    """
    end = arguments.index("--") if "--" in arguments else len(arguments)
    options, plain = list(arguments[:end]), list(arguments[end + 1 :])
    wants_help = "-h" in options or "--help" in options
    parser = _Parser(
        prog=f"unrolled {command}",
        description=inspect.cleandoc(description or ""),
        allow_abbrev=False,
        formatter_class=_Formatter,
    )
    places: list[tuple[Field[Any], Any]] = []
    for number, kind in enumerate(kinds):
        title = _title(kind)
        group = parser if number == 0 or not title else parser.add_argument_group(title)
        help_texts = field_docs(kind) if wants_help else {}
        hints = get_type_hints(kind)
        for item in fields(kind):
            is_place = bool(item.metadata.get("positional"))
            if is_place:
                places.append((item, hints[item.name]))
            if wants_help or not is_place:
                _add(group, item, hints[item.name], help_texts.get(item.name, ""))
    parser.usage = " ".join(["%(prog)s", *(_usage(item, hint) for item, hint in places), "[options]"])
    parser.refuse_unknown(options)
    found, words = parser.parse_known_args(options)
    typed = {**vars(found), **_fill(parser, places, words, plain)}
    return Parsed(tuple(_build(kind, typed) for kind in kinds), frozenset(typed))


def peek(arguments: Sequence[str], name: str, default: str) -> str:
    """The value of one option before the rest can be parsed, such as `--system`, which decides what else there is."""
    for word, following in zip(arguments, [*arguments[1:], default], strict=True):
        if word == "--":
            break
        if word == name or word.startswith(f"{name}="):
            default = following if word == name else word.partition("=")[2]
    return default


def field_docs(kind: type) -> dict[str, str]:
    """The text that stands below each field of a dataclass and of its bases."""
    texts: dict[str, str] = {}
    for base in reversed(kind.__mro__[:-1]):
        try:
            body = ast.parse(inspect.cleandoc("\n" + inspect.getsource(base))).body[0]
        except (OSError, TypeError, SyntaxError):
            continue  # made at run time, or shipped without its source
        lines = body.body if isinstance(body, ast.ClassDef) else []
        for line, below in pairwise(lines):
            if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and _is_text(below):
                texts[line.target.id] = " ".join(below.value.value.split())  # pyright: ignore
    return texts


class _Formatter(argparse.HelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=26, width=79)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        """Paragraphs filled; those that begin with a space are examples and keep their lines."""
        paragraphs = text.split("\n\n")
        return "\n\n".join(
            part if part[:1] == " " else super(_Formatter, self)._fill_text(part, width, indent) for part in paragraphs
        )


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        text = message.removeprefix("argument ").replace("the following arguments are required: ", "missing: ")
        text = text.replace("expected one argument", "expected a value")
        raise UsageError(f"{text} (see {self.prog} --help)")

    def refuse_unknown(self, words: Sequence[str]) -> None:
        """Name the nearest for the first option that does not exist."""
        known = self._option_string_actions
        for word in words[: words.index("--") if "--" in words else None]:
            name = word.partition("=")[0]
            if name.startswith("--") and " " not in name and name not in known:
                near = get_close_matches(name, known, 1)
                self.error(f"unknown option {name}" + (f": did you mean {near[0]}?" if near else ""))


def _add(parser: Any, item: Field[Any], hint: Any, text: str) -> None:
    """One field as an argument."""
    hint, many = _element(hint)
    details: dict[str, Any] = {"help": _help(item, text), "default": argparse.SUPPRESS}
    if item.metadata.get("positional"):
        parser.add_argument(item.name, metavar=_place(item), nargs="?", **details)
        return
    if hint is bool:
        details["action"] = argparse.BooleanOptionalAction
    else:
        details |= {"type": _reader(hint), "metavar": item.metadata.get("metavar") or _metavar(hint)}
    if many:
        details["action"] = "append"
    flag = "--" + item.name.replace("_", "-")
    parser.add_argument(*item.metadata.get("short", ()), flag, dest=item.name, required=_required(item), **details)


def _fill(
    parser: "_Parser", places: list[tuple[Field[Any], Any]], words: list[str], plain: list[str]
) -> dict[str, Any]:
    """The words that are no options as the values of the positional fields, of which the last may take many."""
    for word in words:
        if word.startswith("-") and word != "-":
            parser.error(f"unknown option {word}")
    waiting, filled = words + plain, {}
    for item, hint in places:
        element, many = _element(hint)
        taken, waiting = (waiting, []) if many else (waiting[:1], waiting[1:])
        if not taken and _required(item):
            parser.error(f"missing: {_place(item)}")
        try:
            values = [_reader(element)(word) for word in taken]
        except argparse.ArgumentTypeError as problem:
            parser.error(f"{_place(item)}: {problem}")
        if taken:
            filled[item.name] = values if many else values[0]
    if waiting:
        parser.error(f"unexpected {waiting[0]!r}")
    return filled


def _required(item: Field[Any]) -> bool:
    return item.default is MISSING and item.default_factory is MISSING


def _place(item: Field[Any]) -> str:
    return item.metadata.get("metavar") or item.name.replace("_", "-").upper()


def _usage(item: Field[Any], hint: Any) -> str:
    """A place as usage lines write it: in brackets if it may be left out, with dots if there may be several."""
    shown = _place(item) + (" ..." if _element(hint)[1] else "")
    return shown if _required(item) else f"[{shown}]"


def _element(hint: Any) -> tuple[Any, bool]:
    """The type of one value, and whether there may be several."""
    if get_origin(hint) in (Union, types.UnionType):
        hint = next(part for part in get_args(hint) if part is not type(None))
    if get_origin(hint) in (tuple, list):
        return get_args(hint)[0], True
    return hint, get_origin(hint) is dict


def _reader(hint: Any) -> Any:
    """A function from the typed word to a value of type `hint`."""

    def read(word: str) -> Any:
        if get_origin(hint) is dict:
            key, mark, value = word.partition("=")
            if not mark or not key:
                raise argparse.ArgumentTypeError(f"{word!r} is not of the form key=value")
            return key, value
        if get_origin(hint) is Literal:
            choices = {str(choice): choice for choice in get_args(hint)}
            if word not in choices:
                raise argparse.ArgumentTypeError(f"{word!r} is not one of {', '.join(choices)}")
            return choices[word]
        try:
            value = hint(word)
        except ValueError:
            value = math.nan
        if isinstance(value, float) and not math.isfinite(value):
            raise argparse.ArgumentTypeError(f"{word!r} is not {EXPECTED.get(hint, hint.__name__)}")
        return value

    return read


def _metavar(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return "{" + ",".join(str(choice) for choice in get_args(hint)) + "}"
    return "KEY=VALUE" if get_origin(hint) is dict else METAVARS.get(hint, "VALUE")


def _help(item: Field[Any], text: str) -> str:
    default = item.default
    if isinstance(default, bool):
        text += f" (default: {'on' if default else 'off'})"
    elif default not in (MISSING, None, "", ()):
        text += f" (default: {default})"
    return text.strip().replace("%", "%%")


def _build(kind: type, typed: dict[str, Any]) -> Any:
    names = {item.name for item in fields(kind)}
    hints = get_type_hints(kind)
    return kind(**{name: _gather(hints[name], value) for name, value in typed.items() if name in names})


def _gather(hint: Any, value: Any) -> Any:
    if not isinstance(value, list):
        return value
    return dict(value) if get_origin(_element(hint)[0]) is dict else tuple(value)


def _title(kind: type) -> str:
    """The first sentence of a dataclass or of the nearest base that has one."""
    for base in kind.__mro__[:-1]:
        text = base.__dict__.get("__doc__") or ""
        if text and not text.startswith(f"{base.__name__}("):  # which is what dataclasses write of themselves
            return text.partition("\n")[0].rstrip(".")
    return ""


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
