"""`unrolled curate`: by hand and by score; decisions, exports and what they are made of."""

import io
import json
import sys

import pytest

from unrolled.cli import curate_loop, curate_text
from unrolled.cli.main import main
from unrolled.data.corpus import open_corpus


@pytest.fixture
def curated(unrolled, runs, monkeypatch):
    """Curate the run of poems with these lines on standard input."""

    def run(lines, *words):
        monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(lines) + "\n"))
        return unrolled("curate", "poems", "--runs", runs, "--length", "20", *words)

    return run


def marks(unrolled, runs, run="poems"):
    """The verdict on each sample of a run, by id."""
    lines = unrolled("runs", "samples", run, "--runs", runs, "--json").out.splitlines()
    return {sample["id"]: sample for sample in map(json.loads, lines)}


def ids(out):
    """The samples that were shown, in order."""
    return [line.split("sample ")[1].split()[0] for line in out.splitlines() if line.startswith("──")]


def test_decisions_are_stored_and_undone(unrolled, runs, curated, tmp_path):
    export = tmp_path / "kept.jsonl"
    words = ("--samples", 4, "--where", "author=Ann", "--prompt", "a", "--export", export)
    outcome = curated(["4", "keep", "drop", "u", "k", "what?", "", "d"], *words)
    assert outcome.code == 0 and "2 kept, 1 dropped, 1 undecided" in outcome.out and "undone: drop" in outcome.out
    first, second, third, *again, fourth = ids(outcome.out)
    assert again == [second, third]
    stored = marks(unrolled, runs)
    assert [(stored[name]["kept"], stored[name]["rate"]) for name in (first, second, third, fourth)] == [
        (True, 4),
        (True, None),
        (None, None),
        (False, None),
    ]
    corpus = open_corpus([export], fields=("author",))
    kept = [(document.text, document.fields) for document in corpus.documents()]
    assert [text[0] for text, _ in kept] == ["a", "a"] and [fields for _, fields in kept] == [{"author": "Ann"}] * 2
    assert (
        main(["train", str(export), "--from", str(runs / "poems"), "--runs", str(tmp_path), "--steps", "2", "--quiet"])
        == 0
    )


def test_every_curation_shows_other_samples_that_can_be_made_again(unrolled, runs, curated):
    first, second = ids(curated(["q"], "--samples", 2).out), ids(curated(["s", "q"], "--samples", 2).out)
    assert not set(first) & set(second)
    sample = marks(unrolled, runs)[second[0]]
    words = ("generate", "poems", "--runs", runs, "--length", "20", "--stream", sample["stream"], "--json")
    assert json.loads(unrolled(*words).out)["text"] == sample["text"]


@pytest.mark.parametrize("by", ["likelihood", "novelty"])
def test_the_best_are_chosen_without_a_person(unrolled, runs, curated, tmp_path, by):
    export = tmp_path / "best.jsonl"
    export.write_text('{"text": "was here"}')  # without a line end
    words = ("--best", 2, "--of", 6, "--by", by, "--seed", 7, "--stream", 0, "--json", "--export", export)
    best = [json.loads(line) for line in curated([], *words).out.splitlines()]
    everything = [sample for sample in marks(unrolled, runs).values() if sample["seed"] == 7][-6:]
    ranked = sorted(everything, key=lambda sample: -sample["scores"][by])
    assert [one[by] for one in best] == [sample["scores"][by] for sample in ranked[:2]]
    chosen = {sample["id"]: sample["scores"]["rank"] for sample in everything if "rank" in sample["scores"]}
    assert chosen == {best[0]["sample"]: 1, best[1]["sample"]: 2}
    assert [json.loads(line)["text"] for line in export.read_text().splitlines()] == [
        "was here",
        *(b["text"] for b in best),
    ]


def test_how_samples_are_drawn_is_told_once_and_to_people_alone(curated):
    rules, told = (
        ("--seed", 3, "--temperature", 0.8, "--top-k", 5),
        ("seed 3", "length 20", "temperature 0.8", "top_k 5"),
    )
    for lines, words in ((["s", "q"], ("--samples", 2)), ([], ("--best", 2, "--of", 3))):
        outcome = curated(lines, *words, *rules)
        assert outcome.code == 0 and len(ids(outcome.out)) == 2 and "temperature" not in outcome.out
        assert [outcome.err.count(rule) for rule in told] == [1] * len(told), outcome.err
    outcome = curated([], "--best", 1, "--of", 2, "--json", *rules)
    assert json.loads(outcome.out) and "temperature" not in outcome.err


def test_a_copied_text_is_told_with_its_place(unrolled, runs, curated, poems):
    shown = json.loads(curated([], "--best", 1, "--of", 4, "--by", "likelihood", "--temperature", "0", "--json").out)
    lines = [json.loads(line)["text"] for line in poems.read_text().splitlines()]
    assert shown["place"]["source"] == str(poems.resolve()) and shown["span"] in shown["text"]
    line, character = shown["place"]["record"], shown["place"]["character"]
    assert lines[line - 1][character:].startswith(shown["span"])


def test_training_text_that_has_changed_is_told(unrolled, runs, curated, poems):
    before = poems.read_bytes()
    try:
        poems.write_bytes(before.replace(b"Ann", b"Eve"))
        outcome = curated(["k"], "--samples", 1)
        assert outcome.code == 0 and "novelty is not known" in outcome.err and "has changed" in outcome.err
        refused = curated([], "--best", 1, "--of", 2, "--by", "novelty")
        assert refused.code == 2 and "rank by likelihood" in refused.err
    finally:
        poems.write_bytes(before)


def test_keys_decide_at_a_terminal_and_interruption_loses_nothing(unrolled, runs, monkeypatch, tmp_path):
    class Pressed(curate_loop.Keys):
        def __init__(self):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def read(self):
            if not keys:
                raise KeyboardInterrupt
            return [keys.pop(0)]

    keys, export = ["5", "K", "u", "k"], tmp_path / "kept.jsonl"
    monkeypatch.setattr(curate_loop, "Keys", Pressed)
    for module in (curate_loop, curate_text):
        monkeypatch.setattr(module, "is_terminal", lambda stream: True)
    outcome = unrolled("curate", "poems", "--runs", runs, "--samples", 2, "--length", 20, "--export", export)
    assert outcome.code == 130 and "1 kept, 0 dropped, 1 undecided" in outcome.out
    assert len(export.read_text().splitlines()) == 1
    assert "\x1b[4m" in outcome.out or "longest span" not in outcome.out


@pytest.mark.parametrize(
    "words", [["--best", 3, "--of", 2], ["--best", 0], ["--of", 3], ["--json"], ["--samples", 0], ["--top-p", 0]]
)
def test_numbers_that_do_not_go_together_are_wrong_usage(unrolled, runs, words):
    outcome = unrolled("curate", "poems", "--runs", runs, *words)
    assert outcome.code == 2 and len(outcome.err.splitlines()) == 1


def test_an_export_that_cannot_be_written_is_told(runs, curated, tmp_path):
    outcome = curated(["k"], "--samples", 1, "--export", tmp_path / "none" / "kept.jsonl")
    assert outcome.code == 2 and "cannot be written" in outcome.err
