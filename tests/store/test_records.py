"""Samples name themselves and the command that makes them again; decisions add up."""

import shlex
import shutil
import subprocess

import pytest

from unrolled.store.configs import from_json, to_json
from unrolled.store.records import Rating, Sample, Verdict, verdicts

SAMPLE = Sample("ab", 2**63, 4, {"length": 20, "top_k": 0, "stop_at_end": False, "until": None}, "torch", "O ", "x", 1)


def test_ids_follow_from_the_content() -> None:
    named = SAMPLE.named()
    assert named.named() == named
    assert len(named.id) == 12
    assert from_json(Sample, to_json(named), "samples.jsonl") == named
    assert named.id != Sample(**{**to_json(SAMPLE), "stream": 5}).named().id


def test_the_command_has_everything() -> None:
    words = shlex.split(SAMPLE.command("one"))
    assert words[:3] == ["unrolled", "generate", "one"]
    assert sorted(words[3:]) == sorted(
        [
            "--prompt=O ",
            "--length=20",
            "--top-k=0",
            "--no-stop-at-end",
            "--engine=torch",
            f"--seed={2**63}",
            "--stream=4",
        ]
    )


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
@pytest.mark.parametrize("prompt", ["", "-x", "it's", '$HOME `x` "', "a\nb\tc\\", "\x1b[31m\u202e é 😀", "\r\x85'"])
def test_prompts_survive_the_shell_on_one_line(prompt: str) -> None:
    sample = Sample("ab", 1, 0, {}, "torch", prompt, "", 0, {"mood": prompt})
    command = sample.command("one")
    assert command.isprintable()
    shell = subprocess.run(
        ["bash", "-c", f"printf '%s\\0' {command}"], capture_output=True, env={"LC_ALL": "C.UTF-8"}, check=True
    )
    words = shell.stdout.decode().split("\0")
    assert words[3:5] == [f"--prompt={prompt}", f"--where=mood={prompt}"]


def test_decisions_add_up_and_can_be_taken_back() -> None:
    def after(*decisions: str | int) -> Verdict | None:
        ratings = [Rating("a", "rate", x) if isinstance(x, int) else Rating("a", x) for x in decisions]  # pyright: ignore
        return verdicts([Rating("b", "keep"), *ratings]).get("a")

    assert after() is None
    assert after("keep") == Verdict(True, None)
    assert after("keep", "drop") == Verdict(False, None)
    assert after("keep", 4) == Verdict(True, 4)
    assert after("keep", 4, "undo") == Verdict(True, None)
    assert after("keep", 4, "undo", "undo") is None
    assert after("keep", "undo", "undo", "drop") == Verdict(False, None)
