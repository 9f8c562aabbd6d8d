"""Files and functions stay short: what is above 300 or 40 lines is split, or listed here with a reason."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILE_LINES, FUNCTION_LINES = 300, 40
ALLOWED: dict[str, str] = {}  # "unrolled/room/file.py" or "unrolled/room/file.py:function" to the reason


def python_files() -> list[Path]:
    return sorted(path for room in ("unrolled", "bench", "scripts") for path in (ROOT / room).rglob("*.py"))


def functions(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Name and lines of every function, without its docstring and decorators."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            docstring = node.body[0] if ast.get_docstring(node) is not None else None
            hidden = docstring.end_lineno - docstring.lineno + 1 if docstring and docstring.end_lineno else 0
            yield node.name, node.end_lineno - node.lineno + 1 - hidden


def too_long(name: str, source: str) -> list[str]:
    """What is longer than it may be in one file."""
    lines = len(source.splitlines())
    found = [f"{name}: {lines} lines, at most {FILE_LINES}"] if lines > FILE_LINES and name not in ALLOWED else []
    for function, length in functions(ast.parse(source)):
        if length > FUNCTION_LINES and f"{name}:{function}" not in ALLOWED:
            found.append(f"{name}:{function}: {length} lines, at most {FUNCTION_LINES}")
    return found


def test_files_and_functions_are_short():
    found = [
        line for path in python_files() for line in too_long(path.relative_to(ROOT).as_posix(), path.read_text("utf-8"))
    ]
    assert not found, "\n".join(found)


def test_the_line_budget(capsys: pytest.CaptureFixture[str]):
    """Prints the lines of each room, so that growth is seen."""
    rooms: dict[str, int] = {}
    for path in python_files():
        top, *rest = path.relative_to(ROOT).parts
        room = rest[0] if top == "unrolled" and len(rest) > 1 else top
        rooms[room] = rooms.get(room, 0) + len(path.read_text("utf-8").splitlines())
    with capsys.disabled():
        print("\nlines:", ", ".join(f"{room} {lines}" for room, lines in sorted(rooms.items())), end="")
        print(f"; in all {sum(rooms.values())}", end=" ")
    assert rooms["core"] < 500


def test_what_is_too_long_is_found():
    body = "\n".join("    x = 1" for _ in range(FUNCTION_LINES))
    assert too_long("a.py", f"def long():\n{body}\n") == ["a.py:long: 41 lines, at most 40"]
    assert too_long("a.py", f"def short():\n    '''Text\n    text.'''\n{body[: -len('    x = 1')]}\n") == []
    assert too_long("a.py", "x = 1\n" * 301) == ["a.py: 301 lines, at most 300"]
