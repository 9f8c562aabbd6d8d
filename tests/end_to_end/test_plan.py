"""A run whose plan changed while it trained is repeated by the command that it prints."""

import hashlib
import json
import shlex
from pathlib import Path

from tests.end_to_end.conftest import SMALL
from unrolled.api import pace
from unrolled.api.cards import repeat_command
from unrolled.store.folders import RunFolder


def weights(run: Path) -> str:
    return hashlib.sha256((run / "model.safetensors").read_bytes()).hexdigest()


def test_a_revised_plan_is_repeated(unrolled, book, tmp_path, monkeypatch):
    def revise(self, step, steps, seconds):
        if not 10 < step < 40:
            return steps
        self.revisions.append({"step": step, "from": steps, "to": steps + 7})
        return steps + 7

    monkeypatch.setattr(pace.Pace, "revise", revise)
    words = ["--runs", tmp_path, "--checkpoint-seconds", 0, "--quiet", *SMALL]
    assert unrolled("train", book, "--name", "first", "--minutes", 0.05, *words).code == 0
    monkeypatch.undo()
    monkeypatch.setenv("UNROLLED_CACHE", str(tmp_path / "cache"))
    config = RunFolder(tmp_path / "first").config()
    revisions = config.training["plan"]["revisions"]
    assert revisions
    command = repeat_command(config, config.data["paths"])
    assert unrolled(*shlex.split(command)[1:], "--runs", tmp_path, "--name", "again", "--quiet").code == 0
    assert weights(tmp_path / "first") == weights(tmp_path / "again")


def test_a_plan_says_what_it_rests_on(unrolled, book, tmp_path):
    assert unrolled("train", book, "--runs", tmp_path, "--name", "x", "--minutes", 0.1, "--quiet", *SMALL).code == 0
    plan = json.loads((tmp_path / "x" / "config.json").read_text())["training"]["plan"]
    assert plan["steps"] >= 1 and plan["threads"] >= 1 and plan["update_seconds"] > 0


def test_revise_refuses_what_it_cannot_read(unrolled, book, tmp_path):
    found = unrolled("train", book, "--runs", tmp_path, "--steps", 5, "--revise", "3", *SMALL)
    assert found.code == 2 and found.err.count("\n") == 1
