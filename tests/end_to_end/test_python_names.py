"""Python has the names and defaults of the command line."""

from collections.abc import Callable
from dataclasses import MISSING, fields
from inspect import signature
from typing import Any

import pytest

import unrolled as package
from unrolled.api.checking import check
from unrolled.api.evaluation import evaluate
from unrolled.api.sound_run import SoundRun
from unrolled.api.text_run import TextRun
from unrolled.cli import check as check_command
from unrolled.cli import evaluate as evaluate_command
from unrolled.cli import generate as generate_command
from unrolled.cli.engine import Stepping
from unrolled.cli.sounding import Lasting
from unrolled.core.errors import RunError

# what only a command line has: which run, and how to print
ELSEWHERE = {"run", "runs", "json"}
CASES: dict[str, tuple[Callable[..., Any], tuple[type, ...], set[str]]] = {
    "generate text": (TextRun.samples, (generate_command.Command, Stepping), {"samples"}),  # there: count
    "generate sound": (SoundRun.samples, (generate_command.Command, Stepping, Lasting), {"samples", "length"}),
    "evaluate": (evaluate, (evaluate_command.Command,), set()),
    "check": (check, (check_command.Command,), set()),
}


@pytest.mark.parametrize("name", CASES)
def test_options_have_one_name_and_default(name: str) -> None:
    function, kinds, other = CASES[name]
    parameters = {key: value for key, value in signature(function).parameters.items() if key not in ("self", "run")}
    options = {item.name: item for kind in kinds for item in fields(kind) if item.name not in ELSEWHERE | other}
    assert set(options) == set(parameters) - {"count", "rules"} | ({"count"} & set(options))
    for key, item in options.items():
        usual = item.default if item.default is not MISSING else item.default_factory()  # type: ignore[misc]
        assert (usual or None) == (parameters[key].default or None), key  # nothing given: (), {}, "" or None


def test_a_run_may_be_given_by_name_or_path(runs, monkeypatch) -> None:
    loaded, path = package.load(runs / "plain"), runs / "plain"
    monkeypatch.chdir(runs.parent)
    if runs.name != "runs":
        (runs.parent / "runs").symlink_to(runs)
    assert evaluate(str(path)) == evaluate(path) == evaluate("plain") == evaluate(loaded)
    assert check("plain", 8) == check(loaded, 8)
    with pytest.raises(RunError, match="absent"):
        evaluate("absent")
