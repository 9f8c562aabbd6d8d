"""`unrolled runs` as people type it."""

import json
import shlex
import shutil
from pathlib import Path

import pytest

from unrolled.cli.main import main
from unrolled.store.configs import RunConfig
from unrolled.store.folders import create_run
from unrolled.store.recorder import Recorder
from unrolled.store.records import Metric, Rating, Sample


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def one(place: Path) -> list[str]:
    """A run with two samples, of which the second is kept; gives their ids."""
    folder = create_run(Path("runs"), "one", "char-rnn")
    config = RunConfig("char-rnn", {"width": 3}, {"paths": ["/data/book.txt"]}, command=("train", "book.txt"))
    sha256 = folder.publish(lambda path: path.write_bytes(b"weights"), config, {}, "# one")
    with Recorder(folder, Path("runs")) as recorder:
        recorder.metric(Metric(5, "validation", {"nats": 1.5}))
        recorder.metric(Metric(5, "state", {"state": "finished"}))
        settings = {"length": 20, "temperature": 0.8}
        samples = [
            Sample(sha256, 7, 0, settings, "torch", "O ", "O first\nline\x1b[31m", 11),
            Sample("old", 7, 1, settings, "torch", "O ", "O second", 6, {"author": "Dickinson"}),
        ]
        ids = [sample.id for sample in recorder.samples(samples)]
        recorder.rate(Rating(ids[1], "keep"))
        recorder.rate(Rating(ids[1], "rate", 4))
    return ids


def typed(line: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    code = main(shlex.split(line))
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def test_no_runs_yet(capsys: pytest.CaptureFixture[str], place: Path) -> None:
    code, out, err = typed("runs", capsys)
    assert (code, out, err) == (0, "no runs in runs yet: train one with unrolled train FILE\n", "")
    assert list(place.iterdir()) == []


@pytest.mark.usefixtures("one")
@pytest.mark.parametrize("line", ["runs", "runs list"])
def test_list(capsys: pytest.CaptureFixture[str], line: str) -> None:
    code, out, _ = typed(line, capsys)
    head, row = out.splitlines()
    assert code == 0
    assert head.split() == ["name", "system", "data", "validation", "samples", "size", "date", "state"]
    assert row.split()[:6] == ["one", "char-rnn", "book.txt", "1.500", "nats", "2"]
    assert row.endswith("finished")


@pytest.mark.usefixtures("one")
def test_list_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(typed("runs --json", capsys)[1])
    assert (found["name"], found["best"], found["samples"], found["state"]) == ("one", 1.5, 2, "finished")
    assert found["bytes"] > 0


@pytest.mark.usefixtures("one")
def test_show(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = typed("runs show one", capsys)
    assert code == 0
    for text in ("usable      yes", "width = 3", "train book.txt", "step 5: 1.5 nats"):
        assert text in out
    Path("runs/one/model.safetensors").write_bytes(b"weightz")
    assert "usable      no: runs/one/model.safetensors: altered" in typed("runs show one", capsys)[1]
    assert json.loads(typed("runs show one --json", capsys)[1])["config"]["config"] == {"width": 3}


def test_samples(capsys: pytest.CaptureFixture[str], one: list[str]) -> None:
    code, out, _ = typed("runs samples", capsys)
    lines = out.splitlines()
    assert code == 0
    assert lines[0].startswith(f"{one[0]}  one, seed 7, stream 0, 11 symbols, ")
    assert lines[2] == "  O first⏎line\\x1b[31m"
    command = "  unrolled generate one '--prompt=O ' --length=20 --temperature=0.8 --engine=torch --seed=7 --stream=0"
    assert lines[3] == command
    assert lines[4].endswith("kept, rated 4, made by earlier weights")
    assert lines[5] == "  author Dickinson, length 20, temperature 0.8, engine torch"
    assert "--where=author=Dickinson" in lines[7]
    assert typed("runs samples one", capsys)[1] == out


@pytest.mark.parametrize(
    ("line", "which"),
    [("--kept", [1]), ("--limit 1", [1]), ("-n 5", [0, 1]), ("one --limit 1 --kept", [1]), ("--id ID0", [0])],
)
def test_samples_can_be_chosen(capsys: pytest.CaptureFixture[str], one: list[str], line: str, which: list[int]) -> None:
    line = line.replace("ID0", one[0][:5])
    rows = [json.loads(row) for row in typed(f"runs samples {line} --json", capsys)[1].splitlines()]
    assert [row["id"] for row in rows] == [one[index] for index in which]
    assert all(row["run"] == "one" and row["command"].startswith("unrolled generate one") for row in rows)
    assert [row["kept"] for row in rows] == [{0: None, 1: True}[index] for index in which]


@pytest.mark.usefixtures("one")
def test_samples_in_full(capsys: pytest.CaptureFixture[str]) -> None:
    assert "O first\nline\\x1b[31m\n" in typed("runs samples --full", capsys)[1]


@pytest.mark.usefixtures("one")
def test_samples_of_a_run_elsewhere(capsys: pytest.CaptureFixture[str], place: Path) -> None:
    shutil.copytree("runs/one", "copies/two")
    code, out, _ = typed("runs samples copies/two --limit 1 --json", capsys)
    assert code == 0
    assert json.loads(out)["command"].startswith("unrolled generate copies/two ")
    assert sorted(path.name for path in Path("copies").iterdir()) == ["two"]
    assert typed("runs show copies/two", capsys)[0] == 0
    out = typed("runs samples --runs copies --limit 1 --json", capsys)[1]
    assert json.loads(out)["command"].startswith("unrolled generate copies/two ")


@pytest.mark.usefixtures("one")
def test_remove_asks_first(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    code, _, err = typed("runs remove one", capsys)
    assert code == 2
    assert "for good? nobody can answer here: add --yes" in err
    assert Path("runs/one").is_dir()
    code, out, _ = typed("runs remove one --yes", capsys)
    assert (code, out) == (0, "removed runs/one\n")
    assert not Path("runs/one").exists()
    assert "no runs" in typed("runs", capsys)[1]


@pytest.mark.usefixtures("one")
def test_remove_takes_all_names_or_none(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = typed("runs remove one onne --yes", capsys)
    assert code == 1
    assert "did you mean one?" in err
    assert Path("runs/one").is_dir()


def test_rebuild(capsys: pytest.CaptureFixture[str], one: list[str]) -> None:
    assert typed("runs rebuild", capsys)[1] == "1 runs, 2 samples\n"
    Path("runs/unrolled.db").write_bytes(b"nonsense" * 1000)
    code, out, err = typed("runs samples --json", capsys)
    assert code == 0
    assert [json.loads(row)["id"] for row in out.splitlines()] == one
    assert err.count("\n") == 1
    assert "rebuilt from the run folders; nothing is lost" in err


@pytest.mark.usefixtures("one")
@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("runs shwo one", 2, "unknown action 'shwo' of unrolled runs: did you mean 'show'?"),
        ("runs one", 2, "unknown action 'one'"),
        ("runs show", 2, "missing: RUN"),
        ("runs show oen", 1, "no such run: did you mean one?"),
        ("runs show ../..", 2, "cannot name a run"),
        ("runs samples --limit 0", 2, "--limit 0: expected a whole number from 1"),
        ("runs --jsn", 2, "unknown option --jsn: did you mean --json?"),
        ("runs remove", 2, "missing: NAMES"),
    ],
)
def test_mistakes(capsys: pytest.CaptureFixture[str], line: str, code: int, message: str) -> None:
    found, out, err = typed(line, capsys)
    assert (found, out, err.count("\n")) == (code, "", 1)
    assert message in err


@pytest.mark.parametrize("line", ["runs", "runs show", "runs samples", "runs remove", "runs rebuild"])
def test_help_fits_the_terminal(capsys: pytest.CaptureFixture[str], line: str) -> None:
    code, out, _ = typed(f"{line} --help", capsys)
    assert code == 0
    assert out.startswith(f"usage: unrolled {line}")
    assert max(map(len, out.splitlines())) <= 80
