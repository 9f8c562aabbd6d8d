"""Runs that go on: from other data, from another place, after an interruption; and the commands that repeat them."""

import json
import shlex
import shutil
from pathlib import Path

import pytest

import unrolled as package
from tests.end_to_end.conftest import SMALL
from unrolled.api import session as sessions
from unrolled.api.cards import repeat_command
from unrolled.api.text_run import TextRun
from unrolled.core.errors import RunError, UsageError
from unrolled.store.folders import RunFolder

FEW = ["--steps", "4", "--rows", "4", "--length", "16"]


def repeat(run: Path) -> list[str]:
    config = RunFolder(run).config()
    return shlex.split(repeat_command(config, config.data["given"]))[1:]


@pytest.mark.parametrize("words", [[], ["--learning-rate", "0.003"], ["--optimiser", "adamw"]])
def test_a_continued_run_is_repeated_by_its_command(unrolled, runs, book, tmp_path, words):
    first = unrolled("train", book, "--from", runs / "plain", "--runs", tmp_path, "--name", "a", *FEW, *words)
    assert first.code == 0 and "--from=" in first.out
    again = unrolled(*repeat(tmp_path / "a"), "--runs", tmp_path, "--name", "b", "--quiet")
    assert again.code == 0, again.err
    assert RunFolder(tmp_path / "a").model_sha256() == RunFolder(tmp_path / "b").model_sha256()
    assert RunFolder(tmp_path / "b").config().training["parent"]["model_sha256"] == (
        RunFolder(runs / "plain").model_sha256()
    )


def test_a_setting_that_is_the_recipe_s_but_not_the_system_s_default_is_repeated(unrolled, book, tmp_path):
    words = ["--optimiser", "adamw", "--learning-rate", "0.003", "--hidden", 16]
    assert unrolled("train", book, "--runs", tmp_path, "--name", "a", "--quiet", *FEW, *words).code == 0
    assert {"--optimiser=adamw", "--learning-rate=0.003"} <= set(repeat(tmp_path / "a"))


def test_kept_samples_without_fields_train_a_run_with_fields(unrolled, runs, tmp_path):
    kept = tmp_path / "kept.jsonl"
    made = unrolled("curate", "poems", "--runs", runs, "--best", 6, "--of", 6, "-n", 20, "--export", kept)
    assert made.code == 0, made.err
    found = unrolled("train", kept, "--from", runs / "poems", "--runs", tmp_path, "--name", "next", *FEW)
    assert found.code == 0, found.err
    assert "have no author that the model knows" in found.out
    assert unrolled("generate", tmp_path / "next", "--where", "author=Ann", "-n", 5).code == 0
    assert unrolled("evaluate", runs / "poems", kept, "--runs", runs).code == 0


def test_evaluation_keeps_to_the_kind_of_data(unrolled, runs, book, poems):
    for run, data in (("plain", poems), ("poems", book)):
        found = unrolled("evaluate", run, data, "--runs", runs)
        assert found.code == 2 and "same kind" in found.err


def test_bits_leave_out_unknown_symbols(unrolled, runs, tmp_path):
    data = tmp_path / "new.txt"
    data.write_text("the sea sings under rain & & & & 0123456789\n" * 20)
    found = json.loads(unrolled("evaluate", "plain", data, "--runs", runs, "--json").out)
    assert found["unknown"] == 14 * 20
    assert found["bits_per_character"] == pytest.approx(found["bits_per_byte"])  # one byte each


def test_bits_shown_in_training_are_those_of_text_alone(unrolled, runs):
    shown = json.loads(unrolled("evaluate", "poems", "--runs", runs, "--json").out)
    (line,) = [line for line in (runs / "poems" / "card.md").read_text().splitlines() if "bits per character" in line]
    nats, bits = float(line.split()[2]), float(line.split("(")[1].split()[0])
    assert bits == pytest.approx(nats / 0.693147, abs=1e-3)
    assert bits == pytest.approx(shown["bits_per_character"], rel=0.2)


def test_data_that_has_moved_is_named_to_resume(unrolled, book, tmp_path, monkeypatch):
    data = tmp_path / "old.txt"
    shutil.copy(book, data)
    monkeypatch.setattr(sessions.Session, "updates", lambda self: "interrupted")
    run = tmp_path / "runs" / "x"
    assert unrolled("train", data, "--runs", run.parent, "--name", "x", "--quiet", "--steps", 4, *SMALL).code == 130
    monkeypatch.undo()
    copy = shutil.copytree(run, tmp_path / "elsewhere" / "x")
    data.rename(tmp_path / "new.txt")
    lost = unrolled("train", "--resume", copy)
    assert lost.code == 1 and "say where it lies now" in lost.err and lost.err.count("\n") == 1
    assert unrolled("check", copy).code == 0  # which needs no data
    other = unrolled("train", "--resume", copy, Path(__file__))
    assert other.code == 1 and "has changed" in other.err
    assert unrolled("train", "--resume", copy, tmp_path / "new.txt", "--quiet").code == 0
    assert RunFolder(copy).config().data["paths"] == [str(tmp_path / "new.txt")]


@pytest.mark.parametrize("setting", [{"seed": 3}, {"minutes": 1.0}, {"hidden": 9}, {"from_run": "plain"}])
def test_resume_takes_no_settings(runs, setting):
    with pytest.raises(UsageError, match="leave out"):
        package.train(resume="plain", runs=runs, **setting)


@pytest.mark.parametrize("problem", [KeyboardInterrupt, RunError])
def test_a_training_that_ends_before_it_is_planned_leaves_nothing(unrolled, book, tmp_path, monkeypatch, problem):
    def stop(self, *_: object):
        raise problem("now")

    monkeypatch.setattr(sessions.Session, "score", stop)
    for name in ([], ["--name", "mine"]):
        found = unrolled("train", book, "--runs", tmp_path, "--steps", 4, *SMALL, *name)
        assert found.code == (130 if problem is KeyboardInterrupt else 1)
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]


def test_files_of_others_outlive_a_training_that_ends_early(unrolled, book, tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")

    def stop(self, *_: object):
        raise KeyboardInterrupt

    monkeypatch.setattr(sessions.Session, "score", stop)
    assert unrolled("train", book, "--runs", tmp_path, "--name", "mine", "--steps", 4, *SMALL).code == 130
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"


def test_ctrl_c_keeps_what_was_drawn(unrolled, runs, monkeypatch):
    whole = TextRun.stream

    def cut(self, *words, **named):
        for number, piece in enumerate(whole(self, *words, **named)):
            if number == 7:
                raise KeyboardInterrupt
            yield piece

    monkeypatch.setattr(TextRun, "stream", cut)
    found = unrolled("generate", "plain", "--runs", runs, "--length", 100, "--seed", 77)
    monkeypatch.undo()
    assert found.code == 130 and "what was drawn is kept" in found.err
    listed = json.loads(unrolled("runs", "samples", "plain", "--runs", runs, "--json").out.splitlines()[-1])
    again = unrolled(*shlex.split(listed["command"])[1:], "--runs", runs, "--json")
    assert json.loads(again.out)["text"] == listed["text"] and len(listed["text"]) == 7


def test_advice_waits_for_an_evaluation(unrolled, book, tmp_path, monkeypatch):
    monkeypatch.setattr(sessions.Session, "updates", lambda self: "interrupted")
    found = unrolled("train", book, "--runs", tmp_path, "--steps", 4, *SMALL)
    assert found.code == 130 and "held out" not in found.out


def test_samples_are_shown_as_often_as_asked(unrolled, book, tmp_path):
    found = unrolled("train", book, "--runs", tmp_path, "--steps", 8, "--sample-every", 3, "--json", *SMALL)
    events = [json.loads(line) for line in found.out.splitlines()]
    assert [event["step"] for event in events if event["event"] == "sampled"] == [3, 6]


def test_one_field_may_be_a_text_in_python(poems, tmp_path):
    run = package.train(poems, runs=tmp_path, fields="author", steps=2, hidden=8, rows=4, length=16)
    assert run.fields.names == ("author",)


def test_a_damaged_run_is_not_the_newest(unrolled, runs, tmp_path):
    shutil.copytree(runs / "plain", tmp_path / "plain")
    (tmp_path / "zz").mkdir()
    (tmp_path / "zz" / "config.json").write_text("{")
    found = unrolled("generate", "--runs", tmp_path, "--length", 5)
    assert found.code == 0, found.err
