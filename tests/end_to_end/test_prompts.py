"""Several prompts in one call: every sample is the one that its prompt gives alone."""

import json
import shlex
from types import SimpleNamespace
from typing import Any

import pytest

from tests.end_to_end.test_bad_input import one_line
from unrolled.api import load
from unrolled.api.text_run import TextRequest
from unrolled.cli.generate import recording
from unrolled.core.errors import UsageError

PROMPTS = ("T", "The sea ", "The sea falls over night and ")


def made(outcome):
    """The samples of `--json`."""
    assert outcome.code == 0, outcome.err
    return [json.loads(line) for line in outcome.out.splitlines()]


def prompted(prompts):
    """Prompts as they are typed."""
    return [word for prompt in prompts for word in ("--prompt", prompt)]


@pytest.mark.parametrize("engine", ["auto", "torch"])
@pytest.mark.parametrize(
    ("run", "prompts", "settings"),
    [
        ("plain", PROMPTS, ("--repetition-penalty", 1.2)),
        ("poems", ("", "b12b1", "b"), ("--where", "author=Bob")),  # whose records end one after another
    ],
)
def test_each_of_several_prompts_gives_what_it_gives_alone(unrolled, runs, run, prompts, settings, engine):
    words = ("generate", run, "--runs", runs, "-n", 30, "--seed", 5, "--engine", engine, "--json", *settings)
    together = made(unrolled(*words, *prompted(prompts), "--samples", 2, "--stream", 7))
    assert [sample["prompt"] for sample in together] == [prompt for prompt in prompts for _ in range(2)]
    assert [sample["stream"] for sample in together] == list(range(7, 13))
    for sample in together:
        (alone,) = made(unrolled(*words, "--prompt", sample["prompt"], "--stream", sample["stream"]))
        assert sample["text"] == alone["text"] and sample["text"].startswith(sample["prompt"])
        assert sample["scores"]["log_likelihood"] == pytest.approx(alone["scores"]["log_likelihood"], abs=1e-4)
    drawn = [sample["text"].removeprefix(sample["prompt"]) for sample in together]
    assert run == "poems" or len(set(drawn)) == 6, "what is drawn hangs on the prompt and the stream"


def test_one_prompt_counts_as_before(unrolled, runs):
    words = ("generate", "plain", "--runs", runs, "-n", 20, "--samples", 3, "--stream", 2, "--json")
    assert [(sample["prompt"], sample["stream"]) for sample in made(unrolled(*words))] == [("", 2), ("", 3), ("", 4)]
    found = made(unrolled(*words, "--prompt", "The "))
    assert [(sample["prompt"], sample["stream"]) for sample in found] == [("The ", 2), ("The ", 3), ("The ", 4)]


def test_several_prompts_are_shown_with_what_they_follow_from(unrolled, runs):
    found = unrolled("generate", "plain", "--runs", runs, "-n", 20, "--seed", 4, *prompted(PROMPTS))
    assert found.code == 0 and found.out.count("--- sample") == 3
    assert all(f"(stream {number})\n{prompt}" in found.out for number, prompt in enumerate(PROMPTS))
    assert "3 samples: seed 4, streams from 0" in found.err


def test_a_sample_of_several_prompts_is_made_again_by_its_command(unrolled, runs):
    wanted = made(unrolled("generate", "plain", "--runs", runs, "-n", 25, "--json", *prompted(PROMPTS)))[1]
    listed = made(unrolled("runs", "samples", "plain", "--runs", runs, "--json", "--id", wanted["id"]))
    (again,) = made(unrolled(*shlex.split(listed[0]["command"])[1:], "--runs", runs, "--json"))
    assert again["text"] == wanted["text"] and again["prompt"] == PROMPTS[1]


def test_python_takes_several_prompts(runs):
    run = load(runs / "plain")
    settings: dict[str, Any] = {"length": 20, "seed": 6}
    found = run.samples(PROMPTS, 2, stream=3, **settings)
    expected = [(prompt, 3 + 2 * place + number) for place, prompt in enumerate(PROMPTS) for number in range(2)]
    assert found == [run.generate(prompt, stream=stream, **settings) for prompt, stream in expected]
    texts = run.texts(TextRequest(stream=3, **settings), 2, prompts=list(PROMPTS))
    assert [prompt + text.text for (prompt, _), text in zip(expected, texts, strict=True)] == found
    (one,) = run.samples("The", **settings)
    assert one.startswith("The"), "a text is one prompt, not one for each of its characters"
    with pytest.raises(UsageError, match="at least 1 sample"):
        run.samples([], **settings)


def test_an_unknown_symbol_in_any_prompt_is_refused(unrolled, runs):
    words = ("generate", "plain", "--runs", runs, "-n", 5)
    one_line(unrolled(*words, *prompted(("The ", "T\N{GREEK SMALL LETTER SIGMA}"))), 1, "U+03C3")


def test_a_sound_goes_on_from_one_recording():
    run = SimpleNamespace(folder=SimpleNamespace(name="band"))
    assert (recording(run, ()), recording(run, ("a.wav",))) == ("", "a.wav")
    with pytest.raises(UsageError, match="2 prompts for run band, which makes sound"):
        recording(run, ("a.wav", "b.wav"))
