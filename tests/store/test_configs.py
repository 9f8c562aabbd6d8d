"""Dataclasses to JSON and back, with every key and type checked."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from unrolled.core.errors import RunError
from unrolled.store.configs import RunConfig, check_schema, from_json, to_json


@dataclass(frozen=True)
class Config:
    width: int
    rate: float = 0.1
    cell: Literal["gru", "lstm"] = "gru"
    sizes: tuple[int, ...] = (1, 2)
    pair: tuple[int, str] = (1, "a")
    name: str | None = None
    path: Path = Path("x")
    learned: bool = False
    extra: dict[str, float] | None = None


def test_a_config_comes_back_equal_through_text() -> None:
    config = Config(3, 2.0, "lstm", (), (4, "b"), "n", Path("a/b"), True, {"k": 0.5})
    assert from_json(Config, json.loads(json.dumps(to_json(config))), "config.json") == config
    run = RunConfig("char-rnn", {"width": 3}, command=("train", "x"))
    assert from_json(RunConfig, json.loads(json.dumps(to_json(run))), "config.json") == run


def test_whole_numbers_stand_for_numbers_but_not_the_reverse() -> None:
    rate = from_json(Config, {"width": 1, "rate": 2}, "x").rate
    assert rate == 2.0
    assert isinstance(rate, float)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "'width' is missing"),
        ({"width": 1, "wdth": 2}, "unknown setting 'wdth': did you mean 'width'"),
        ({"width": 1, "zzz": 2}, "unknown setting 'zzz': known are width"),
        ({"width": "1"}, "width: expected a whole number, found '1'"),
        ({"width": True}, "width: expected a whole number, found True"),
        ({"width": 1.0}, "expected a whole number"),
        ({"width": 1, "rate": None}, "expected a number"),
        ({"width": 1, "cell": "rnn"}, "expected one of gru, lstm, found 'rnn'"),
        ({"width": 1, "cell": []}, "expected one of"),
        ({"width": 1, "sizes": [1, "2"]}, "sizes: expected a whole number"),
        ({"width": 1, "pair": [1]}, "pair: expected"),
        ({"width": 1, "name": 3}, "expected text or null"),
        ({"width": 1, "extra": {"k": "v"}}, "expected dict"),
    ],
)
def test_wrong_settings_are_named(data: dict[str, Any], message: str) -> None:
    with pytest.raises(RunError, match=r"config\.json") as problem:
        from_json(Config, data, "config.json")
    assert message in str(problem.value)


@pytest.mark.parametrize("schema", [None, "1", 0, True, 1.0])
def test_files_that_are_not_ours_are_refused(schema: Any) -> None:
    with pytest.raises(RunError, match="not a file of unrolled"):
        check_schema({"schema": schema}, "config.json")


def test_newer_files_name_the_version_and_the_cure() -> None:
    with pytest.raises(RunError, match=r"newer unrolled 9\.1 .*upgrade"):
        check_schema({"schema": 99, "unrolled": "9.1"}, "config.json")
