"""The main job as a user types it: train, generate, evaluate, check."""

import hashlib
import json
import shlex
import shutil
from pathlib import Path

import pytest

import unrolled as package
from tests.end_to_end.conftest import SMALL


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
