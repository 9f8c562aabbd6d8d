"""The index: equal to the folders, whatever happens to it."""

import shutil
import sqlite3
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from unrolled.core.errors import RunError
from unrolled.store import database as databases
from unrolled.store import migrations
from unrolled.store.configs import RunConfig
from unrolled.store.database import FILE, Database, open_database
from unrolled.store.folders import RunFolder, create_run
from unrolled.store.recorder import Recorder
from unrolled.store.records import Metric, Rating, Sample, Verdict


def sample(number: int) -> Sample:
    return Sample("ab", 1, number, {"length": 2}, "torch", "O ", f"text {number}", 2)


@pytest.fixture
def filled(run: RunFolder, runs: Path) -> RunFolder:
    with Recorder(run, runs) as recorder:
        recorder.metric(Metric(0, "state", {"state": "training"}))
        for step in (1, 2, 3):
            recorder.metric(Metric(step, "validation", {"nats": 2.0 + abs(step - 2)}))
        recorder.metric(Metric(3, "train", {"nats": 0.5}))
        kept, dropped, _ = recorder.samples([sample(number) for number in range(3)])
        recorder.rate(Rating(kept.id, "keep"))
        recorder.rate(Rating(dropped.id, "drop"))
    return run


@pytest.fixture
def said() -> list[str]:
    return []


def check_filled(runs: Path, said: list[str]) -> None:
    with open_database(runs, said.append) as database:
        (row,) = database.run_rows()
        assert (row.name, row.system, row.best, row.samples) == ("one", "char-rnn", 2.0, 3)
        assert [found.sample.text for found in database.samples()] == ["text 0", "text 1", "text 2"]
        assert [found.verdict for found in database.samples(kept=True)] == [Verdict(True, None)]
        assert [metric.step for metric in database.metrics("one", "validation")] == [1, 2, 3]


def asides(runs: Path) -> list[Path]:
    return sorted(runs.glob(f"{FILE}.corrupt-*[0-9]"))


def test_what_is_recorded_can_be_asked_for(filled: RunFolder, runs: Path, said: list[str]) -> None:
    check_filled(runs, said)
    with open_database(runs, said.append) as database:
        found = database.samples("one", limit=2)
        assert [row.sample.text for row in found] == ["text 1", "text 2"]
        assert database.samples(begins=found[0].sample.id[:6]) == found[:1]
        assert database.samples(begins="zz") == []
        assert database.samples("other") == []
        assert database.metrics("one")[0].kind == "state"
    assert said == []


def test_what_is_recorded_is_in_the_database_at_once(run: RunFolder, runs: Path) -> None:
    with Recorder(run, runs) as recorder:
        connection = sqlite3.connect(runs / FILE)

        def count(table: str) -> int:
            return connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]

        (named,) = recorder.samples([sample(0)])
        assert count("samples") == 1
        recorder.rate(Rating(named.id, "keep"))
        assert count("ratings") == 1
        recorder.metric(Metric(1, "train"))
        assert count("metrics") == 1
        connection.close()


def test_states(filled: RunFolder, runs: Path) -> None:
    with open_database(runs) as database:
        assert database.run_rows()[0].state == "interrupted"  # it said "training" last, but nobody holds the lock
        with filled.lock():
            assert database.run_rows()[0].state == "training"
        with Recorder(filled, runs) as recorder:
            recorder.metric(Metric(3, "state", {"state": "finished"}))
        assert database.run_rows()[0].state == "finished"


@pytest.mark.parametrize("damage", ["missing", "text", "empty", "half", "flipped", "zeros", "foreign", "page"])
def test_a_lost_or_damaged_database_is_rebuilt_with_nothing_lost(
    filled: RunFolder, runs: Path, said: list[str], damage: str
) -> None:
    path = runs / FILE
    content = path.read_bytes()
    assert len(content) > 8192
    if damage == "missing":
        path.unlink()
    elif damage == "foreign":
        path.unlink()
        connection = sqlite3.connect(path)
        connection.execute("CREATE TABLE runs (other TEXT)")
        connection.close()
    else:
        flipped = bytes(byte ^ 0xFF for byte in content[:4096])
        path.write_bytes(
            {
                "text": b"not a database, by any means" * 100,
                "empty": b"",
                "half": content[: len(content) // 2 + 100],
                "flipped": flipped + content[4096:],
                "zeros": bytes(len(content)),
                "page": content[:4096] + b"\x07" * 8192 + content[12288:],
            }[damage]
        )
    check_filled(runs, said)
    rebuilt_silently = damage in ("missing", "empty")
    assert len(said) == len(asides(runs)) == (0 if rebuilt_silently else 1)
    if not rebuilt_silently:
        assert "nothing is lost" in said[0]
        assert asides(runs)[0].name in said[0]
    check_filled(runs, said)
    assert len(asides(runs)) <= 1


def test_damage_that_happens_while_it_is_open_is_mended(filled: RunFolder, runs: Path, said: list[str]) -> None:
    with open_database(runs, said.append) as database:
        database.close()
        (runs / FILE).write_bytes(b"x" * 20_000)
        assert len(database.samples()) == 3
    assert len(said) == 1


def test_a_newer_database_is_refused_and_left_alone(filled: RunFolder, runs: Path) -> None:
    connection = sqlite3.connect(runs / FILE)
    with connection:
        connection.execute("INSERT INTO migrations VALUES (99, 'from the future', '')")
    connection.close()
    with pytest.raises(RunError, match=r"newer unrolled \(schema 99.*upgrade"):
        open_database(runs)
    assert asides(runs) == []


def test_migrations_are_applied_once_in_order(
    filled: RunFolder, runs: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def add_notes(connection: sqlite3.Connection) -> None:
        connection.execute("CREATE TABLE notes (text TEXT)")

    monkeypatch.setattr(migrations, "MIGRATIONS", (*migrations.MIGRATIONS, add_notes))
    for _ in range(2):
        check_filled(runs, said)
    connection = sqlite3.connect(runs / FILE)
    rows = connection.execute("SELECT number, name FROM migrations ORDER BY number").fetchall()
    connection.close()
    assert rows == [(1, "create_tables"), (2, "add_notes")]
    assert asides(runs) == []


def test_a_migration_that_fails_changes_nothing(filled: RunFolder, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM samples")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(migrations, "MIGRATIONS", (*migrations.MIGRATIONS, fail))
        with pytest.raises(KeyboardInterrupt):
            open_database(runs)
    with Database(runs, runs / FILE) as database:
        assert len(database.samples()) == 3


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(databases, "BUSY_SECONDS", 0.05)


@pytest.mark.usefixtures("impatient")
def test_a_locked_database_costs_one_line_and_no_row(filled: RunFolder, runs: Path, said: list[str]) -> None:
    blocker = sqlite3.connect(runs / FILE, isolation_level=None)
    blocker.execute("BEGIN EXCLUSIVE")
    with Recorder(filled, runs, said.append) as recorder:
        for number in range(3, 6):
            recorder.samples([sample(number)])
    assert len(said) == 1
    assert "locked: going on without it; nothing is lost" in said[0]
    with open_database(runs, said.append) as database:  # readers are served from the folders meanwhile
        assert len(database.samples()) == 6
    assert "reading the run folders instead" in said[1]
    blocker.close()
    with open_database(runs, said.append) as database:
        assert len(database.samples()) == 6
    assert len(said) == 2
    connection = sqlite3.connect(runs / FILE)
    assert connection.execute("SELECT count(*) FROM samples").fetchone() == (6,)
    connection.close()


@pytest.mark.usefixtures("impatient")
def test_a_database_that_gets_locked_in_the_middle_costs_no_row(filled: RunFolder, runs: Path, said: list[str]) -> None:
    with Recorder(filled, runs, said.append) as recorder:
        recorder.samples([sample(3)])
        blocker = sqlite3.connect(runs / FILE, isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        recorder.samples([sample(4)])
        blocker.close()
        recorder.samples([sample(5)])
    assert len(said) == 1
    with open_database(runs, said.append) as database:
        assert len(database.samples()) == 6


def test_a_folder_without_permission_is_read_all_the_same(
    filled: RunFolder, runs: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = sqlite3.connect

    def read_only(path: object, **keywords: object) -> sqlite3.Connection:
        if path == ":memory:":
            return real(path, **keywords)  # pyright: ignore
        return real(f"file:{path}?mode=ro&immutable=1", uri=True, **keywords)  # pyright: ignore

    monkeypatch.setattr(databases.sqlite3, "connect", read_only)
    with Recorder(filled, runs, said.append) as recorder:
        recorder.samples([sample(3)])
    with open_database(runs, said.append) as database:
        assert len(database.samples()) == 4
    assert all("nothing is lost" in line for line in said)


def test_folders_decide(filled: RunFolder, runs: Path, said: list[str]) -> None:
    """Runs that are copied in, renamed, shortened, replaced or removed by hand are followed."""
    shutil.copytree(filled.path, runs / "copy")
    with open_database(runs, said.append) as database:
        assert [len(database.samples(name)) for name in ("one", "copy")] == [3, 3]
        (runs / "copy").rename(runs / "renamed")
        database.sync()
        assert [row.name for row in database.run_rows()] == ["one", "renamed"]
        assert len(database.samples()) == 6
        lines = (runs / "renamed" / "samples.jsonl").read_bytes().splitlines(keepends=True)
        (runs / "renamed" / "samples.jsonl").write_bytes(lines[0])
        database.sync()
        assert len(database.samples("renamed")) == 1
        shutil.rmtree(runs / "renamed")
        create_run(runs, "renamed", "gpt").write_config(RunConfig("gpt", {}))
        database.sync()
        assert [(row.name, row.system, row.samples) for row in database.run_rows()][1] == ("renamed", "gpt", 0)
        other = create_run(runs, "other", "gpt")
        other.write_config(RunConfig("gpt", {}))
        with Recorder(other, runs) as recorder:  # more lines than the run whose name it takes
            recorder.samples([sample(number) for number in range(10, 18)])
        shutil.rmtree(filled.path)
        other.path.rename(filled.path)
        database.sync()
        assert [found.sample.stream for found in database.samples("one")] == list(range(10, 18))
        shutil.rmtree(filled.path)
        database.sync()
        assert database.samples() == []
    assert said == []


def test_damaged_lines_are_counted_once_and_the_rest_is_kept(filled: RunFolder, runs: Path, said: list[str]) -> None:
    path = filled.path / "samples.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    bad = [b"garbage\n", b'{"seed": 1}\n', lines[0].replace(b'"stream":0', b'"stream":' + b"9" * 30)]
    bad[2] = lines[0].replace(b'"stream": 0', b'"stream": ' + b"9" * 30)
    path.write_bytes(lines[0] + b"".join(bad) + b"".join(lines[1:]) + b'{"torn": ')
    with open_database(runs, said.append) as database:
        database.rebuild()
        assert len(database.samples()) == 3
    assert any("3 damaged line(s) left out, the first at byte" in line for line in said)
    said.clear()
    check_filled(runs, said)
    assert said == []


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    file=st.sampled_from(["samples.jsonl", "metrics.jsonl", "ratings.jsonl"]),
    place=st.floats(0, 1),
    junk=st.binary(max_size=8) | st.sampled_from([b"\n", b'"', b"9" * 400, b"null", b"\xff", b"[" * 5000]),
)
def test_mutated_journals_never_stop_the_reading(
    filled: RunFolder, runs: Path, file: str, place: float, junk: bytes
) -> None:
    path = filled.path / file
    whole = path.read_bytes()
    at = int(place * len(whole))
    path.write_bytes(whole[:at] + junk + whole[at + min(len(junk), 8) :])
    try:
        with Database(runs, None, lambda line: None) as database:
            database.sync()
            assert len(database.run_rows()) == 1
            assert len(database.samples()) >= 1  # one mutation costs two lines at most
            database.metrics("one")
            database.verdicts()
    finally:
        path.write_bytes(whole)


@pytest.mark.parametrize("content", ["{", "[]", '{"seed": "x"}'])
def test_rows_that_no_journal_holds_are_damage(filled: RunFolder, runs: Path, said: list[str], content: str) -> None:
    connection = sqlite3.connect(runs / FILE)
    for table in ("metrics", "samples", "ratings"):
        with connection:
            connection.execute(f"UPDATE {table} SET content = ?", (content,))
    connection.close()
    with open_database(runs, said.append) as database:
        assert [row.state for row in database.run_rows()] == ["interrupted"]
        assert len(database.samples(kept=True)) == 1
    assert len(said) == 1


def test_a_damaged_database_that_cannot_be_moved_is_read_around(
    filled: RunFolder, runs: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(databases.os, "replace", refuse)
    (runs / FILE).write_bytes(b"x" * 9000)
    with open_database(runs, said.append) as database:
        assert len(database.samples()) == 3
    assert "cannot be moved (Permission denied): reading the run folders instead" in said[0]


def test_a_run_with_a_damaged_config_is_still_listed(filled: RunFolder, runs: Path) -> None:
    (filled.path / "config.json").write_text("{")
    with open_database(runs) as database:
        assert [(row.name, row.system, row.samples) for row in database.run_rows()] == [("one", "?", 3)]


def test_a_run_elsewhere_is_recorded_in_its_folder_alone(filled: RunFolder, runs: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "downloads" / "one"
    shutil.copytree(filled.path, elsewhere)
    with Recorder(RunFolder(elsewhere), runs) as recorder:
        recorder.samples([sample(3)])
        assert len(recorder.verdicts()) == 2
    assert [path.name for path in elsewhere.parent.iterdir()] == ["one"]


def test_no_runs_at_all_creates_nothing(tmp_path: Path) -> None:
    with open_database(tmp_path / "none") as database:
        assert database.run_rows() == []
    assert list(tmp_path.iterdir()) == []
