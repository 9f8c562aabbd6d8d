"""`runs/unrolled.db`: an index of run folders. The folders are the truth; the database can always be built again.

Durability: WAL with synchronous=NORMAL for journals, which are on disk before they are indexed, and FULL for runs.
"""

import json
import os
import sqlite3
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from unrolled.core.errors import RunError
from unrolled.store.configs import from_json
from unrolled.store.documents import parse_object
from unrolled.store.folders import RunFolder, list_runs
from unrolled.store.index import Say, forget, index_run, transaction
from unrolled.store.migrations import migrate
from unrolled.store.records import Metric, Rating, Sample, Verdict, verdicts

T = TypeVar("T")
FILE = "unrolled.db"
BUSY_SECONDS = 2.0
CHECK_BYTES = 16 * 2**20  # a whole check at opening takes a few milliseconds per MB
DAMAGE = (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT)


class Unavailable(RunError):
    """The database is locked, cannot be written or is out of space; the journals go on without it."""


class SampleRow(NamedTuple):
    """One sample of a run with the verdict on it."""

    run: str
    sample: Sample
    verdict: Verdict


class RunRow(NamedTuple):
    """One run as the index knows it; `best` is the lowest validation loss in nats per symbol."""

    name: str
    system: str
    config: dict[str, Any]
    created: str
    state: str
    best: float | None
    samples: int


def warn(message: str) -> None:
    """One line on stderr."""
    print(f"unrolled: {message}", file=sys.stderr)


class Database:
    """A connection that mends what can be mended. `path` is None for an index in memory."""

    def __init__(self, runs: Path, path: Path | None, say: Say = warn) -> None:
        """Open or create the index of the run folders in `runs`. Raises: Unavailable; RunError if it is too new."""
        self.runs, self.path, self.say = runs, path, say
        self._connection: sqlite3.Connection | None = None
        self._attempt(lambda connection: None)

    def __enter__(self) -> "Database":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the file back."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def sync(self) -> None:
        """Read what is new in the run folders, and forget those that are gone."""
        folders = list_runs(self.runs)

        def action(connection: sqlite3.Connection) -> None:
            names = {folder.name for folder in folders}
            gone = [name for (name,) in connection.execute("SELECT name FROM runs") if name not in names]
            for folder in folders:
                index_run(connection, folder, self.say)
            if gone:
                with transaction(connection):
                    for name in gone:
                        forget(connection, name)

        self._attempt(action)

    def index(self, folder: RunFolder) -> None:
        """Read what is new in one run folder."""
        self._attempt(lambda connection: index_run(connection, folder, self.say))

    def rebuild(self) -> None:
        """Throw the index away and read every folder anew."""

        def action(connection: sqlite3.Connection) -> None:
            with transaction(connection):
                for (name,) in connection.execute("SELECT name FROM runs").fetchall():
                    forget(connection, name)

        self._attempt(action)
        self.sync()

    def run_rows(self) -> list[RunRow]:
        """All runs, oldest first; states are what the journals say last."""
        query = (
            "SELECT name, system, config, created, (SELECT content FROM metrics WHERE run = name AND kind = 'state' "
            "ORDER BY line DESC LIMIT 1), (SELECT min(nats) FROM metrics WHERE run = name AND kind = 'validation'), "
            "(SELECT count(*) FROM samples WHERE run = name) FROM runs ORDER BY created, name"
        )

        def action(connection: sqlite3.Connection) -> list[RunRow]:
            return [
                RunRow(name, system, json.loads(config), created, self._state(name, state), best, samples)
                for name, system, config, created, state, best, samples in connection.execute(query)
            ]

        return self._attempt(action)

    def metrics(self, run: str, kind: str | None = None) -> list[Metric]:
        """What was measured in a run, in order."""
        query = "SELECT content FROM metrics WHERE run = ? AND (? IS NULL OR kind = ?) ORDER BY line"

        def action(connection: sqlite3.Connection) -> list[Metric]:
            return [_load(Metric, content) for (content,) in connection.execute(query, (run, kind, kind))]

        return self._attempt(action)

    def samples(
        self, run: str | None = None, *, kept: bool = False, begins: str = "", limit: int | None = None
    ) -> list[SampleRow]:
        """Samples in order of time: those kept if asked for, those whose id begins so, the last `limit`."""
        query = (
            "SELECT run, content FROM samples WHERE (? IS NULL OR run = ?) AND substr(id, 1, ?) = ? "
            "ORDER BY created DESC, run DESC, line DESC"
        )
        marks = self.verdicts(run)

        def action(connection: sqlite3.Connection) -> list[SampleRow]:
            found: list[SampleRow] = []
            for name, content in connection.execute(query, (run, run, len(begins), begins)):
                sample = _load(Sample, content)
                verdict = marks.get(name, {}).get(sample.id, Verdict())
                if len(found) == limit:
                    break
                if verdict.kept or not kept:
                    found.append(SampleRow(name, sample, verdict))
            return found[::-1]

        return self._attempt(action)

    def verdicts(self, run: str | None = None) -> dict[str, dict[str, Verdict]]:
        """By run and sample id, what people decided."""
        query = "SELECT run, content FROM ratings WHERE ? IS NULL OR run = ? ORDER BY run, line"

        def action(connection: sqlite3.Connection) -> dict[str, list[Rating]]:
            by_run: dict[str, list[Rating]] = {}
            for name, content in connection.execute(query, (run, run)):
                by_run.setdefault(name, []).append(_load(Rating, content))
            return by_run

        return {name: verdicts(ratings) for name, ratings in self._attempt(action).items()}

    def _state(self, name: str, content: str | None) -> str:
        """What the journal said last, corrected by whether somebody trains the run at this moment."""
        if RunFolder(self.runs / name).holder() is not None:
            return "training"
        state = str(_load(Metric, content).values.get("state", "new")) if content else "new"
        return "interrupted" if state == "training" else state

    def _attempt(self, action: Callable[[sqlite3.Connection], T]) -> T:
        """Do `action`; a damaged file is moved aside and rebuilt from the folders first."""
        for again in (True, False):
            try:
                if self._connection is None:
                    self._connection = _connect(self.path)
                return action(self._connection)
            except (sqlite3.DatabaseError, ValueError) as problem:
                self.close()
                code = _code(problem)
                if code == sqlite3.SQLITE_MISUSE or (code in DAMAGE and not (again and self.path)):
                    raise
                if code not in DAMAGE:
                    raise Unavailable(f"{self.path or 'index in memory'}: {problem}") from None
                self._move_aside()
        raise AssertionError("unreachable")

    def _move_aside(self) -> None:
        """Keep the damaged file under another name, and fill a new one."""
        assert self.path is not None
        stamp = datetime.now().strftime("%Y%m%d-%H%M%S-%f")
        aside = self.path.with_name(f"{FILE}.corrupt-{stamp}")
        for ending in ("", "-wal", "-shm"):
            part = self.path.with_name(self.path.name + ending)
            try:
                os.replace(part, aside.with_name(aside.name + ending))
            except FileNotFoundError:
                continue
            except OSError as problem:
                raise Unavailable(f"{self.path}: damaged and cannot be moved ({problem.strerror})") from None
        self.say(f"{self.path}: damaged, so moved to {aside.name} and rebuilt from the run folders; nothing is lost")
        self.sync()


def open_database(runs: Path, say: Say = warn) -> Database:
    """The index of `runs`, up to date; in memory, with one line of warning, where the file cannot be used."""
    try:
        database = Database(runs, runs / FILE if runs.is_dir() else None, say)
        database.sync()
    except Unavailable as problem:
        say(f"{problem}: reading the run folders instead; nothing is lost")
        database = Database(runs, None, say)
        database.sync()
    return database


def _connect(path: Path | None) -> sqlite3.Connection:
    connection = sqlite3.connect(path or ":memory:", timeout=BUSY_SECONDS, isolation_level=None)
    try:
        if path is not None:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            if path.stat().st_size <= CHECK_BYTES:
                problem = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
                if problem != "ok":
                    raise ValueError(problem)
        migrate(connection, str(path))
    except BaseException:
        connection.close()
        raise
    return connection


def _load(kind: type[T], content: str) -> T:
    """A row's content. Raises: ValueError where the database holds what no journal can hold."""
    try:
        return from_json(kind, parse_object(content.encode(), kind.__name__), kind.__name__)
    except RunError as problem:
        raise ValueError(str(problem)) from None


def _code(problem: Exception) -> int:
    """SQLite's primary result code; content that cannot be parsed counts as a corrupt file."""
    if isinstance(problem, sqlite3.DatabaseError):
        return getattr(problem, "sqlite_errorcode", sqlite3.SQLITE_MISUSE) & 0xFF
    return sqlite3.SQLITE_CORRUPT
