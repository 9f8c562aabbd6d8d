"""JSON from outside is parsed within limits or refused in one line."""

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unrolled.core.errors import RunError
from unrolled.store.documents import parse_object, read_object, to_bytes

HOSTILE = {
    "not JSON": b"{",
    "empty": b"",
    "not UTF-8": b'{"a": "\xff"}',
    "a list": b"[]",
    "a number": b"3",
    "twice the same key": b'{"a": 1, "a": 2}',
    "twice the same key inside": b'{"a": [{"b": 1, "b": 2}]}',
    "deep": b'{"a":' * 40 + b"1" + b"}" * 40,
    "very deep": b"[" * 200_000,
    "very deep objects": b'{"a":' * 100_000,
    "not a number": b'{"a": NaN}',
    "infinite": b'{"a": -Infinity}',
    "half a character": b'{"a": "\\ud800"}',
    "half a character in a key": b'{"\\udfff": 1}',
    "an enormous number": b'{"a": ' + b"9" * 10_000 + b"}",
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_json_is_refused_in_one_line(content: bytes) -> None:
    with pytest.raises(RunError) as problem:
        parse_object(content, "config.json")
    assert str(problem.value).startswith("config.json: ")
    assert "\n" not in str(problem.value)


def test_depth_within_the_limit_is_accepted() -> None:
    assert parse_object(b'{"a":' * 20 + b"1" + b"}" * 20, "x")


def test_size_is_limited(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(b'{"a": "' + b"x" * 100 + b'"}')
    assert read_object(path)
    with pytest.raises(RunError, match="larger than 50 bytes"):
        read_object(path, 50)


@pytest.mark.parametrize("kind", ["missing", "folder", "link"])
def test_only_plain_files_are_read(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "config.json"
    if kind == "folder":
        path.mkdir()
    if kind == "link":
        (tmp_path / "real").write_text("{}")
        path.symlink_to(tmp_path / "real")
    with pytest.raises(RunError, match="missing" if kind == "missing" else "plain file"):
        read_object(path)


@given(st.binary(max_size=200))
def test_any_bytes_give_an_object_or_the_one_error(content: bytes) -> None:
    with contextlib.suppress(RunError):
        assert isinstance(parse_object(content, "x"), dict)


def test_what_json_lacks_is_written_as_what_it_has() -> None:
    value = {"a": float("nan"), "b": (1, 2), "c": Path("x"), "d": "é\ud800"}
    assert json.loads(to_bytes(value)) == {"a": None, "b": [1, 2], "c": "x", "d": "é?"}
    with pytest.raises(TypeError):
        to_bytes({"a": object()})
