"""Systems by their commands: what one lacks is refused, and one of another package may fail alone."""

from dataclasses import replace
from importlib.metadata import EntryPoint

import pytest

import unrolled as package
from unrolled import systems
from unrolled.core.errors import UsageError
from unrolled.systems import char_rnn

OFFERED: object = None


def offer(monkeypatch: pytest.MonkeyPatch, found: object, value: str = f"{__name__}:OFFERED") -> None:
    """Let another package offer a system as `foreign`."""
    point = EntryPoint("foreign", value, "unrolled.systems")
    monkeypatch.setitem(globals(), "OFFERED", found)
    monkeypatch.setattr(systems, "entry_points", lambda group, name="foreign": [point] if name == "foreign" else [])


@pytest.fixture
def trainable(monkeypatch):
    """A system of another package that can be trained and do nothing else."""
    offer(monkeypatch, replace(char_rnn.SYSTEM, name="foreign", commands=frozenset({"train"})))


def test_a_system_of_another_package_trains_but_refuses_the_commands_it_lacks(unrolled, trainable, book, tmp_path):
    small = ["--hidden", 8, "--rows", 4, "--length", 16, "--steps", 2]
    trained = unrolled("train", book, "--system", "foreign", "--runs", tmp_path, "--name", "x", *small)
    assert trained.code == 0, trained.err
    assert "the model writes" not in trained.out
    for command in ("generate", "complete", "curate", "evaluate", "check"):
        found = unrolled(command, "x", "--runs", tmp_path)
        assert found.code == 2 and found.err.count("\n") == 1 and repr(command) in found.err, found
    run = package.load(tmp_path / "x")
    for ask in (run.generate, lambda: package.evaluate(run), lambda: package.check(run)):
        with pytest.raises(UsageError, match="its commands are train"):
            ask()


def test_a_system_that_cannot_be_trained_is_refused(unrolled, monkeypatch, book, tmp_path):
    offer(monkeypatch, replace(char_rnn.SYSTEM, name="foreign", commands=frozenset({"generate"})))
    found = unrolled("train", book, "--system", "foreign", "--runs", tmp_path, "--steps", 2)
    assert found.code == 2 and "'train'" in found.err


@pytest.mark.parametrize("value", ["no_such_package:SYSTEM", f"{__name__}:OFFERED"])
def test_a_broken_system_of_another_package_leaves_the_others_alone(unrolled, monkeypatch, book, tmp_path, value):
    offer(monkeypatch, "not a system", value)
    listed = unrolled("systems")
    assert listed.code == 0 and "char-rnn" in listed.out and value in listed.err
    found = unrolled("train", book, "--system", "foreign", "--runs", tmp_path)
    assert found.code == 1 and found.err.count("\n") == 1
