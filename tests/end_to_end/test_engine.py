"""Both engines as a user meets them: the same text, without torch where a run carries a step program."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.end_to_end.conftest import SMALL
from tests.end_to_end.test_bad_input import one_line
from tests.end_to_end.test_hostile_machine import as_ordinary_user, public, published
from tests.engine.standins import StandIn, packed
from unrolled.api import engines, evaluation, load, weights
from unrolled.core.errors import RunError, UsageError
from unrolled.engine import program_file, runtime
from unrolled.engine.lowering import NotLowered

__all__ = ["public", "published"]
BUILT = runtime.available()
PROGRAM = engines.PROGRAM
native_only = pytest.mark.skipif(not BUILT, reason="the native kernels are not built")


@pytest.fixture
def kernels(monkeypatch):
    """The native kernels, or what stands in for them where they are not built."""
    if not BUILT:
        monkeypatch.setattr(runtime, "native", lambda: None)
        monkeypatch.setattr(engines, "Packed", packed)
        for module in (engines, evaluation):
            monkeypatch.setattr(module, "Session", StandIn)


@pytest.fixture
def no_kernels(monkeypatch):
    """A machine where nothing was compiled."""

    def native():
        raise RunError("the native kernels are not installed: install a C++ compiler")

    monkeypatch.setattr(runtime, "native", native)


@pytest.fixture
def copy(runs, tmp_path):
    """A run that may be spoiled."""
    shutil.copytree(runs / "plain", tmp_path / "plain")
    return tmp_path / "plain"


def texts(outcome):
    """The samples of `--json`."""
    assert outcome.code == 0, outcome.err
    return [json.loads(line) for line in outcome.out.splitlines()]


def text(outcome):
    (sample,) = texts(outcome)
    return sample["text"]


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize(
    "words",
    [["plain"], ["plain", "--prompt", "The s", "--top-p", "0.9"], ["poems", "--where", "author=Bob"], ["poems"]],
    ids=" ".join,
)
def test_both_engines_write_the_same_text_and_say_who_wrote(unrolled, runs, words):
    made = {}
    for engine in ("torch", "native", "auto"):
        found = texts(
            unrolled("generate", *words, "--runs", runs, "-n", 60, "--samples", 3, "--json", "--engine", engine)
        )
        made[engine] = [sample["text"] for sample in found]
        assert {sample["engine"] for sample in found} == {"native" if engine == "auto" else engine}
        assert not any("precision" in sample["settings"] for sample in found)
    assert made["torch"] == made["native"] == made["auto"] and len(set(made["torch"])) == 3


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize(
    "settings",
    [
        ["--system", "window", "--window", "5", "--hidden", "16"],
        ["--system", "word-rnn", "--hidden", "16"],
        ["--system", "gpt", "--width", "16", "--heads", "2", "--layers", "2", "--context", "12"],
        ["--system", "gpt", "--width", "16", "--heads", "2", "--layers", "1", "--context", "16", "--family", "gpt-2"],
        ["--cell", "gru", "--hidden", "16", "--layers", "2", "--symbols", "bytes"],
        ["--cell", "nested-lstm", "--hidden", "16", "--embedding", "8"],
    ],
    ids=lambda settings: " ".join(settings[1:4:2]),
)
def test_every_system_has_both_engines(unrolled, book, tmp_path, settings):
    common = ["--runs", tmp_path, "--name", "x", "--rows", 4, "--length", 16]
    assert unrolled("train", book, *common, "--steps", 3, "--quiet", *settings).code == 0
    words = ["generate", "x", "--runs", tmp_path, "--length", 40, "--json"]
    assert text(unrolled(*words, "--engine", "native")) == text(unrolled(*words, "--engine", "torch"))
    by = {}
    for engine in ("torch", "native"):
        by[engine] = texts(unrolled("evaluate", "x", "--runs", tmp_path, "--json", "--engine", engine))[0]
    assert by["native"]["engine"] == "native" and by["native"]["cost"] is None
    assert by["native"]["nats"] == pytest.approx(by["torch"]["nats"], abs=1e-4)
    assert by["native"]["stderr"] == pytest.approx(by["torch"]["stderr"], abs=1e-4)
    assert by["native"]["predictions"] == by["torch"]["predictions"]


@pytest.mark.usefixtures("kernels")
def test_evaluation_carries_state_and_fields_as_torch_does(unrolled, runs):
    for run in ("plain", "poems"):
        for protocol in ("carried", "windows"):
            words = ["evaluate", run, "--runs", runs, "--protocol", protocol, "--json", "--engine"]
            mine, theirs = (texts(unrolled(*words, engine))[0] for engine in ("native", "torch"))
            assert mine["nats"] == pytest.approx(theirs["nats"], abs=1e-4)
            assert mine["bits_per_byte"] == pytest.approx(theirs["bits_per_byte"], abs=1e-4)


@pytest.mark.usefixtures("kernels")
def test_the_cost_of_a_precision_is_measured_kept_and_told(unrolled, copy):
    words = ["--runs", copy.parent, "--precision", "int8"]
    before = unrolled("generate", "plain", *words, "-n", 20)
    assert before.code == 0 and "measured" not in before.err and "precision int8, engine native" in before.err
    found = texts(unrolled("evaluate", "plain", *words, "--json"))[0]
    plain = texts(unrolled("evaluate", "plain", "--runs", copy.parent, "--json"))[0]
    assert found["cost"] == pytest.approx(found["nats"] - plain["nats"], abs=1e-4) and abs(found["cost"]) < 0.05
    assert (found["engine"], found["precision"], plain["engine"]) == ("native", "int8", "torch")
    shown = unrolled("evaluate", "plain", *words).out
    assert f"engine       native, int8, which costs {found['cost']:.4f} nats per symbol against float32" in shown
    told = f"int8 costs {found['cost']:.4f} nats per symbol (measured)"
    assert told in unrolled("generate", "plain", *words, "-n", 20).err
    assert told in unrolled("curate", "plain", *words, "-n", 20, "--best", 1, "--of", 2).err
    other = unrolled("generate", "plain", "--runs", copy.parent, "--precision", "bfloat16", "-n", 20)
    assert other.code == 0 and "measured" not in other.err
    sample = texts(unrolled("runs", "samples", "plain", "--runs", copy.parent, "--json"))[-2]
    assert sample["settings"]["precision"] == "int8"
    again = unrolled(*shlex.split(sample["command"])[1:], "--runs", copy.parent, "--json")
    assert text(again) == sample["text"]


@pytest.mark.usefixtures("no_kernels")
def test_without_kernels_torch_writes_and_says_why_once(unrolled, runs):
    found = unrolled("generate", "plain", "--runs", runs, "-n", 20, "--samples", 2, "--json")
    assert {sample["engine"] for sample in texts(found)} == {"torch"}
    assert found.err.splitlines() == [
        "unrolled: the native kernels are not installed: generating through torch, slower"
    ]
    assert not unrolled("generate", "plain", "--runs", runs, "--engine", "torch", "-n", 5, "--json").err
    one_line(unrolled("generate", "plain", "--runs", runs, "--engine", "native"), 1, "compiler")
    for command in ("generate", "evaluate"):
        one_line(unrolled(command, "plain", "--runs", runs, "--precision", "int8"), 2, "int8", "leave out --precision")


def test_settings_of_the_other_engine_are_refused(unrolled, runs):
    for words in (["--precision", "bfloat16"], ["--threads", 2]):
        one_line(unrolled("generate", "plain", "--runs", runs, "--engine", "torch", *words), 2, words[0][2:])
    one_line(unrolled("evaluate", "plain", "--runs", runs, "--engine", "torch", "--precision", "int8"), 2, "int8")


@native_only
def test_threads_change_nothing(unrolled, runs):
    one = unrolled("generate", "plain", "--runs", runs, "-n", 50)
    two = unrolled("generate", "plain", "--runs", runs, "-n", 50, "--threads", min(2, os.cpu_count() or 1))
    assert one.out == two.out and one.code == two.code == 0
    one_line(unrolled("generate", "plain", "--runs", runs, "--threads", 10_000), 2, "threads")


@pytest.mark.usefixtures("kernels")
def test_a_model_without_a_lowering_writes_through_torch(unrolled, book, tmp_path, monkeypatch):
    def refuse(model, model_sha256):
        raise NotLowered("Wavelet")

    monkeypatch.setattr("unrolled.engine.lowering.lower", refuse)
    assert unrolled("train", book, "--runs", tmp_path, "--name", "x", "--steps", 2, *SMALL).code == 0
    assert not (tmp_path / "x" / PROGRAM).exists()
    found = unrolled("generate", "x", "--runs", tmp_path, "-n", 20, "--json")
    assert text(found) and found.err == "unrolled: no lowering for Wavelet: generating through torch, slower\n"
    one_line(unrolled("generate", "x", "--runs", tmp_path, "--engine", "native"), 1, "Wavelet")
    one_line(unrolled("generate", "x", "--runs", tmp_path, "--precision", "int8"), 2, "Wavelet")
    one_line(unrolled("engine", "show", "x", "--runs", tmp_path), 1, "Wavelet")


def test_nothing_that_lowering_does_stops_a_training(unrolled, book, tmp_path, monkeypatch):
    def fail(model, model_sha256):
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr("unrolled.engine.lowering.lower", fail)
    found = unrolled("train", book, "--runs", tmp_path, "--name", "x", "--steps", 2, *SMALL)
    assert found.code == 0 and "by zero" in found.out and not (tmp_path / "x" / PROGRAM).exists()


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("fault", ["missing", "flipped", "cut", "foreign", "stale", "link"])
def test_a_bad_program_is_told_in_one_line_and_made_anew(unrolled, copy, runs, fault):
    words = ["generate", "plain", "--runs", copy.parent, "-n", 30, "--json"]
    program = copy / PROGRAM
    good, expected = program.read_bytes(), text(unrolled(*words, "--engine", "torch"))
    whole = program_file.load(program)
    if fault in ("missing", "link"):
        program.unlink()
    if fault == "link":
        program.symlink_to(runs / "plain" / PROGRAM)
    elif fault in ("flipped", "cut"):
        program.write_bytes(good[:-50] if fault == "cut" else good[:-50] + bytes([good[-50] ^ 1]) + good[-49:])
    elif fault == "foreign":
        shutil.copy(runs / "poems" / PROGRAM, program)
    elif fault == "stale":
        program_file.save(replace(whole, model_sha256="0" * 64), program)
    found = unrolled(*words)
    assert text(found) == expected
    assert found.err.count("\n") == (fault != "missing") and (fault == "missing" or "made anew" in found.err)
    again = program_file.load(program)
    assert program_file.to_json(again) == program_file.to_json(whole) and not program.is_symlink()
    assert not unrolled(*words).err


def test_a_program_with_other_symbols_than_the_run_is_foreign(copy):
    run = load(copy)
    assert engines.saved_program(copy / PROGRAM, run)[1] == ""
    run.codec.size += 1
    found, problem = engines.saved_program(copy / PROGRAM, run)
    assert found is None and "alphabet" in problem


@pytest.mark.usefixtures("kernels")
def test_a_read_only_run_without_a_program_writes_all_the_same(unrolled, published):
    words = ["generate", "plain", "--runs", published, "--length", 20, "--seed", 5]
    before = unrolled(*words)
    (published / "plain").chmod(0o755)
    (published / "plain" / PROGRAM).unlink()
    (published / "plain").chmod(0o555)
    with as_ordinary_user():
        found = unrolled(*words)
    assert found.code == 0 and found.out == before.out and found.err.count("cannot keep") == 1
    assert not (published / "plain" / PROGRAM).exists()


def test_show_lists_the_operations_and_what_they_come_to(unrolled, runs):
    shown = unrolled("engine", "show", "poems", "--runs", runs)
    assert shown.code == 0 and "lookup" in shown.out and "lstm" in shown.out and "multiply-adds a symbol" in shown.out
    found = texts(unrolled("engine", "show", "poems", "--runs", runs, "--json"))[0]
    steps = [line for line in found["operations"] if line["part"] == "step"]
    assert found["multiply_adds"] == sum(line["multiply_adds"] for line in steps) > 24 * 4 * 24
    assert found["weight_bytes"]["int8"] < found["weight_bytes"]["bfloat16"] < found["weight_bytes"]["float32"]
    assert found["state_bytes"] >= 2 * 24 * 4 and len(steps) == shown.out.count("\nstep ")
    one_line(unrolled("engine", "hide", "poems", "--runs", runs), 2, "show")


@pytest.mark.usefixtures("kernels")
def test_python_has_the_same_settings(runs):
    run = load(runs / "plain")
    made = run.generate("The", length=20, seed=2, engine="native", precision="int8", threads=1)
    assert made.startswith("The") and len(made) == 23
    assert run.generate(length=20, engine="native") == run.generate(length=20, engine="torch")
    with pytest.raises(UsageError, match="precision"):
        run.generate(engine="torch", precision="int8")


@pytest.mark.usefixtures("kernels")
def test_on_a_gpu_torch_writes_unless_a_precision_is_asked_for(runs, monkeypatch):
    run = load(runs / "plain")
    monkeypatch.setattr(engines, "DRIVERS", (str(runs),))
    monkeypatch.setattr(weights, "device_of", lambda run: torch.device("cuda"))
    assert run.engines.choose("auto", "float32").name == "torch"
    assert run.engines.choose("auto", "int8").name == run.engines.choose("native", "float32").name == "native"


@pytest.mark.usefixtures("kernels")
def test_python_refuses_damaged_weights_at_once(copy):
    content = bytearray((copy / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (copy / "model.safetensors").write_bytes(content)
    with pytest.raises(RunError, match="altered"):
        load(copy)


WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None
from unrolled.cli.main import main
code = main(sys.argv[1:])
heavy = {"jaxtyping", "rich", "tokenizers", "torch", "unrolled.api.weights", "unrolled.systems"}
print(sorted(name for name in heavy if sys.modules.get(name)), file=sys.stderr)
sys.exit(code)
"""


def alone(*words):
    """A command line in a process of its own, where nothing can import torch."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    command = [sys.executable, "-c", WITHOUT_TORCH, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def test_show_needs_neither_torch_nor_weights(runs, copy):
    (copy / "model.safetensors").unlink()
    done = alone("engine", "show", "plain", "--runs", copy.parent)
    assert done.returncode == 0 and "lookup" in done.stdout and done.stderr.splitlines() == ["[]"]


@native_only
def test_generate_needs_neither_torch_nor_weights(unrolled, copy):
    words = ["generate", "plain", "--runs", copy.parent, "-n", 50, "--json"]
    expected = text(unrolled(*words, "--engine", "torch"))
    (copy / "model.safetensors").unlink()
    done = alone(*words)
    assert done.returncode == 0 and done.stderr.splitlines() == ["[]"]
    assert json.loads(done.stdout)["text"] == expected
    (copy / PROGRAM).unlink()
    done = alone(*words)
    assert done.returncode == 1 and "no step program" in done.stderr and not done.stdout


WARM = """
import sys, time
import numpy, unrolled.cli.main, unrolled.cli.generate, unrolled.api.runs
from unrolled.api.text_run import TextRequest
began = time.perf_counter()
run = unrolled.api.runs.writing_run("generate", "plain", sys.argv[1])
next(run.stream(TextRequest()))
print(time.perf_counter() - began)
"""


@native_only
def test_the_first_symbol_comes_at_once(runs):
    def seconds():
        done = subprocess.run([sys.executable, "-c", WARM, runs], capture_output=True, text=True, check=True)
        return float(done.stdout)

    assert min(seconds() for _ in range(3)) < 0.3


@native_only
def test_an_interruption_keeps_what_was_drawn(copy):
    words = ["generate", "plain", "--runs", copy.parent, "-n", 10**9, "--seed", 3]
    command = [sys.executable, "-m", "unrolled", *map(str, words)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.read(1)
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "interrupted; what was drawn is kept" in err and len(out) > 10
    sample = json.loads((copy / "samples.jsonl").read_text().splitlines()[-1])
    assert sample["engine"] == "native" and sample["symbols"] == sample["settings"]["length"] > 10
