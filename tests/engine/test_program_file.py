"""Files of step programs: what is none, is damaged or holds other types is refused in one line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save as serialise

from tests.engine.programs import valid
from unrolled.core.errors import RunError
from unrolled.engine import program_file


def write(path: Path, text: str, weights: Any = None, sha256: str | None = None) -> Path:
    """A file with any JSON."""
    weights = valid().weights if weights is None else weights
    digest = program_file.digest(text, weights) if sha256 is None else sha256
    path.write_bytes(serialise(dict(weights), {"program": text, "sha256": digest}))
    return path


def edited(change: Callable[[dict[str, Any]], Any]) -> str:
    """The JSON of the valid program after a change."""
    data = json.loads(json.dumps(program_file.to_json(valid())))
    changed = change(data)
    return json.dumps(data if changed is None else changed)


DOCUMENTS = {
    "a truth as an integer": lambda data: data.update(symbols=True),
    "a fraction as an integer": lambda data: data.update(symbols=5.0),
    "not a number": lambda data: data.update(begin=float("nan")),
    "a huge integer": lambda data: data.update(position_limit=2**70),
    "an infinite number": lambda data: data["step"][3].__setitem__(4, [float("inf")]),
    "nothing as a number": lambda data: data["step"][3].__setitem__(4, [None]),
    "text as a number": lambda data: data["step"][3].__setitem__(4, ["1"]),
    "a truth as a number": lambda data: data["step"][3].__setitem__(4, [True]),
    "an integer too large for a float": lambda data: data["step"][3].__setitem__(4, [10**400]),
    "a role that is a list": lambda data: data["buffers"][0].__setitem__(1, ["control"]),
    "a shape that is a number": lambda data: data["buffers"][0].__setitem__(2, 4),
    "a negative size": lambda data: data["buffers"][0].__setitem__(2, [-4]),
    "a name of two lines": lambda data: data["buffers"][0].__setitem__(0, "a\nb"),
    "half a character": lambda data: data["buffers"][0].__setitem__(0, "\ud800"),
    "a buffer twice": lambda data: data["buffers"].append(["x", "register", [4]]),
    "a buffer of two entries": lambda data: data["buffers"].append(["n", "register"]),
    "buffers that are a number": lambda data: data.update(buffers=3),
    "buffers that are an object": lambda data: data.update(buffers={"abc": 1}),
    "operations that are a number": lambda data: data.update(step=3),
    "an operation that is text": lambda data: data["step"].append("abcde"),
    "an operation with a part too many": lambda data: data["step"][0].append(1),
    "an operand of two parts": lambda data: data.update(output=["o", 0]),
    "an operand that is nothing": lambda data: data.update(output=None),
    "a weight that is a number": lambda data: data["step"][0].__setitem__(3, [1]),
    "starts that are a list": lambda data: data.update(starts=[]),
    "fields that are a number": lambda data: data.update(fields=1),
    "a missing key": lambda data: data.pop("shifts"),
    "an older format": lambda data: data.update(format=1),
    "a newer format": lambda data: data.update(format=3),
    "no format": lambda data: data.pop("format"),
    "a list": lambda data: [data],
    "a number": lambda data: 3,
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_documents_of_other_types_are_refused(name: str, tmp_path: Path):
    with pytest.raises(RunError) as problem:
        program_file.load(write(tmp_path / "program", edited(DOCUMENTS[name])))
    assert "\n" not in str(problem.value) and str(problem.value).isprintable()


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "1" * 5000, '{"format": 1}', "NaN"])
def test_what_is_no_document_is_refused(text: str, tmp_path: Path):
    with pytest.raises(RunError, match="not a step program"):
        program_file.load(write(tmp_path / "program", text))


def test_what_is_no_program_file_is_refused(tmp_path: Path):
    path = tmp_path / "program"
    for content in (b"", b"abc", b"\xff" * 100, serialise(dict(valid().weights)), b"\x10" + b"\0" * 7 + b"{}" * 8):
        path.write_bytes(content)
        with pytest.raises(RunError, match="not a step program") as problem:
            program_file.load(path)
        assert "\n" not in str(problem.value)
    for absent in (tmp_path, tmp_path / "none"):
        with pytest.raises(RunError, match="not a step program"):
            program_file.load(absent)


def test_a_wrong_digest_is_refused(tmp_path: Path):
    with pytest.raises(RunError, match="sha256"):
        program_file.load(write(tmp_path / "program", edited(lambda data: None), sha256="0" * 64))
    path = write(tmp_path / "program", edited(lambda data: None))
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    with pytest.raises(RunError, match="sha256"):
        program_file.load(path)


def test_the_digest_covers_shapes():
    one, other = ({"a": np.ones(shape, np.float32)} for shape in ((2, 3), (3, 2)))
    assert program_file.digest("", one) != program_file.digest("", other)
