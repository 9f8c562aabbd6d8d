"""The main job as a user types it: train, generate, evaluate, check."""

import hashlib
import io
import json
import shlex
import shutil
import sys
import unicodedata
from pathlib import Path

import pytest

import unrolled as package
from tests.end_to_end.conftest import SMALL
from unrolled.cli.main import main
from unrolled.cli.terminal import json_line

STEERING = {"\x1b": "\\x1b", "\x9b": "\\x9b", "\x7f": "\\x7f", "\u202e": "\\u202e"}
UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp")


def weights(run: Path) -> str:
    return hashlib.sha256((run / "model.safetensors").read_bytes()).hexdigest()


def test_generate_is_reproducible_and_recorded(unrolled, runs):
    first = unrolled("generate", "plain", "--runs", runs, "--length", 40, "--seed", 3)
    again = unrolled("generate", "plain", "--runs", runs, "--length", 40, "--seed", 3)
    other = unrolled("generate", "plain", "--runs", runs, "--length", 40, "--seed", 4)
    assert first.code == 0 and first.out == again.out != other.out
    listed = unrolled("runs", "samples", "plain", "--runs", runs)
    assert "--seed=3" in listed.out


def test_a_sample_does_not_depend_on_its_batch(unrolled, runs):
    batch = unrolled("generate", "plain", "--runs", runs, "--length", 30, "--samples", 4, "--json")
    texts = [json.loads(line)["text"] for line in batch.out.splitlines()]
    alone = unrolled("generate", "plain", "--runs", runs, "--length", 30, "--stream", 2, "--json")
    assert json.loads(alone.out)["text"] == texts[2]
    assert len(set(texts)) > 1


def test_how_samples_are_drawn_is_told_once_and_to_people_alone(unrolled, runs):
    words = ("generate", "plain", "--runs", runs, "--length", 20, "--seed", 3, "--temperature", 0.8, "--top-k", 5)
    told = ("seed 3", "temperature 0.8", "top_k 5", "top_p 1", "min_p 0", "typical 1", "repetition_penalty 1")
    for samples in (1, 3):
        found = unrolled(*words, "--samples", samples)
        assert found.code == 0 and [found.err.count(rule) for rule in told] == [1] * len(told), found.err
        assert "temperature" not in found.out
    found = unrolled(*words, "--samples", 3, "--json")
    assert "temperature" not in found.err and len(list(map(json.loads, found.out.splitlines()))) == 3


@pytest.fixture(scope="module")
def wild(tmp_path_factory) -> Path:
    """A run that writes signs which steer a terminal."""
    folder = tmp_path_factory.mktemp("wild")
    (folder / "wild.txt").write_text("\x1b[2J\x9b2Jé漢\x7f\u202e\n" * 200, encoding="utf-8")
    words = ["--runs", str(folder), "--name", "wild", "--steps", "2", "--quiet", *SMALL]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNROLLED_CACHE", str(folder / "cache"))
        assert main(["train", str(folder / "wild.txt"), *words]) == 0
    return folder


def test_what_steers_a_terminal_is_shown_and_not_sent(unrolled, wild):
    prompt = "\x1b[2J\x9b"
    words = ("generate", "wild", "--runs", wild, "--length", 200, "--prompt", prompt)
    text = json.loads(unrolled(*words, "--json").out)["text"]
    assert set(STEERING) < set(text.removeprefix(prompt)), "the model writes all of them"
    shown = text.translate({ord(sign): escape for sign, escape in STEERING.items()})
    assert unrolled(*words).out == shown + "\n"
    several = unrolled(*words, "--samples", 2).out
    assert shown in several and not set(STEERING) & set(several)


@pytest.mark.parametrize(
    "words", [("generate", "--length", 200), ("curate", "--best", 1, "--length", 200), ("complete",)]
)
def test_json_cannot_steer_a_terminal_and_keeps_its_letters(unrolled, wild, monkeypatch, words):
    monkeypatch.setattr(sys, "stdin", io.StringIO("é漢\x1b\x9b\x7f\u202e\n"))
    found = unrolled(words[0], "wild", "--runs", wild, *words[1:], "--json")
    assert found.code == 0 and not set(STEERING) & set(found.out)
    text = json.loads(found.out)["text"]
    assert set(STEERING) < set(text) and {"é", "漢"} < set(found.out)


def test_a_line_of_json_shows_every_character_that_can_be_seen():
    signs = [chr(code) for code in (*range(0xD800), *range(0xE000, 0x110000))]
    line = json_line({"text": "".join(signs)})
    assert json.loads(line) == {"text": "".join(signs)}
    assert set(line) == {sign for sign in signs if unicodedata.category(sign) not in UNSEEN}
    assert json_line("half \ud83d") == '"half \\ud83d"'


def test_a_printed_sample_command_makes_the_sample_again(unrolled, runs):
    made = json.loads(unrolled("generate", "poems", "--runs", runs, "--where", "author=Ann", "--seed", 9, "--json").out)
    listed = json.loads(unrolled("runs", "samples", "poems", "--runs", runs, "--json").out.splitlines()[-1])
    words = shlex.split(listed["command"])
    assert words[:2] == ["unrolled", "generate"]
    again = json.loads(unrolled(*words[1:], "--runs", runs, "--json").out)
    assert again["text"] == made["text"]


def test_where_chooses_the_author(unrolled, runs):
    for author, letter in (("Ann", "a"), ("Bob", "b")):
        found = unrolled(
            "generate", "poems", "--runs", runs, "--where", f"author={author}", "--samples", 8, "--json", "--length", 20
        )
        texts = [json.loads(line)["text"] for line in found.out.splitlines()]
        assert sum(letter in text for text in texts) >= 7, texts


def test_where_refuses_what_is_not_known(unrolled, runs):
    for where in ("author=Zoe", "mood=sad", "author"):
        found = unrolled("generate", "poems", "--runs", runs, "--where", where)
        assert found.code == 2 and found.err.count("\n") == 1 and not found.out


@pytest.mark.parametrize("protocol", ["carried", "windows", "random"])
def test_evaluate_prints_one_object(unrolled, runs, protocol):
    found = json.loads(unrolled("evaluate", "plain", "--runs", runs, "--protocol", protocol, "--json").out)
    assert found.keys() >= {"nats", "protocol", "split", "stderr", "predictions"}
    assert 0 < found["nats"] < 4 and found["protocol"] == protocol and found["split"] == "validation"


def test_check_holds(unrolled, runs):
    for run in ("plain", "poems"):
        found = unrolled("check", run, "--runs", runs)
        assert found.code == 0 and "BROKEN" not in found.out


@pytest.mark.parametrize(
    "settings",
    [
        ["--system", "window", "--window", "5", "--hidden", "16"],
        ["--system", "word-rnn", "--hidden", "16"],
        ["--system", "word-rnn", "--hidden", "16", "--symbols", "bpe", "--vocabulary", "300"],
        ["--system", "gpt", "--width", "16", "--heads", "2", "--layers", "2", "--context", "12"],
        ["--system", "gpt", "--width", "16", "--heads", "2", "--layers", "1", "--context", "16", "--family", "gpt-2"],
        ["--cell", "gru", "--hidden", "16", "--layers", "2", "--symbols", "bytes"],
        ["--cell", "nested-lstm", "--hidden", "16", "--embedding", "8"],
        ["--cell", "elman", "--hidden", "16"],
    ],
    ids=lambda settings: " ".join(settings[1:4:2]),
)
def test_every_system_trains_checks_and_generates(unrolled, book, tmp_path, settings):
    common = ["--runs", tmp_path, "--name", "x", "--rows", 4, "--length", 16]
    assert unrolled("train", book, *common, "--steps", 3, "--quiet", *settings).code == 0
    assert unrolled("check", "x", "--runs", tmp_path, "--length", 12).code == 0
    assert unrolled("evaluate", "x", "--runs", tmp_path).code == 0
    text = json.loads(unrolled("generate", "x", "--runs", tmp_path, "--length", 40, "--json").out)["text"]
    assert text


def test_training_is_repeated_by_the_printed_command(unrolled, book, tmp_path):
    first = unrolled("train", book, "--runs", tmp_path, "--name", "one", "--steps", 25, *SMALL)
    command = next(line for line in reversed(first.out.splitlines()) if "--steps" in line)
    again = unrolled(*shlex.split(command)[1:], "--runs", tmp_path, "--name", "two", "--quiet")
    assert again.code == 0
    assert weights(tmp_path / "one") == weights(tmp_path / "two")


def test_train_goes_on_from_a_run(unrolled, runs, book, tmp_path):
    shutil.copytree(runs / "plain", tmp_path / "plain")
    found = unrolled(
        "train",
        book,
        "--from",
        "plain",
        "--runs",
        tmp_path,
        "--name",
        "next",
        "--steps",
        5,
        "--quiet",
        "--rows",
        4,
        "--length",
        16,
    )
    assert found.code == 0
    assert weights(tmp_path / "next") != weights(tmp_path / "plain")
    wrong = unrolled("train", book, "--from", "plain", "--runs", tmp_path, "--hidden", 99, "--steps", 5)
    assert wrong.code == 2


def test_python_has_the_same_names(runs, book, tmp_path):
    run = package.train(book, runs=tmp_path, name="py", steps=4, hidden=16, rows=4, length=16, seed=2)
    assert run.generate("T", length=10, seed=1) == package.load(tmp_path / "py").generate("T", length=10, seed=1)
    assert len(run.samples(count=3, length=5)) == 3


def test_without_validation_the_last_weights_are_the_runs(unrolled, tmp_path) -> None:
    (tmp_path / "all.txt").write_text("to be or not to be " * 60)
    words = ("--split", 1, "--steps", 60, "--runs", tmp_path / "runs", "--name", "all", "--quiet")
    assert unrolled("train", tmp_path / "all.txt", *words).code == 0
    found = unrolled("evaluate", "all", "--split", "train", "--runs", tmp_path / "runs", "--json")
    assert json.loads(found.out)["nats"] < 1.5
