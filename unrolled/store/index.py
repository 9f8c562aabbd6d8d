"""The journals of run folders, read into the tables of the database from where the last reading ended."""

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from unrolled.core.errors import RunError
from unrolled.store.configs import from_json, to_json
from unrolled.store.folders import METRICS, RATINGS, SAMPLES, RunFolder
from unrolled.store.journal import read
from unrolled.store.records import Metric, Rating, Sample

Say = Callable[[str], None]
LARGEST = 2**63 - 1


class Journal(NamedTuple):
    """How one kind of journal becomes rows of one table."""

    file: str
    table: str
    row: Callable[[dict[str, Any]], tuple[Any, ...]]


def metric_row(record: dict[str, Any]) -> tuple[Any, ...]:
    """The columns of `metrics` after run and line."""
    metric = from_json(Metric, record, METRICS)
    nats = metric.values.get("nats")
    number = float(nats) if isinstance(nats, (int, float)) and not isinstance(nats, bool) else None
    return whole(metric.step), metric.kind, number, metric.time, text(metric)


def sample_row(record: dict[str, Any]) -> tuple[Any, ...]:
    """The columns of `samples` after run and line."""
    sample = from_json(Sample, record, SAMPLES)
    named = (sample.id, sample.model_sha256, str(sample.seed), whole(sample.stream), sample.engine, sample.created)
    return *named, text(sample)


def rating_row(record: dict[str, Any]) -> tuple[Any, ...]:
    """The columns of `ratings` after run and line."""
    rating = from_json(Rating, record, RATINGS)
    rate = None if rating.rate is None else whole(rating.rate)
    return rating.sample, rating.decision, rate, rating.time, text(rating)


JOURNALS = (
    Journal(METRICS, "metrics", metric_row),
    Journal(SAMPLES, "samples", sample_row),
    Journal(RATINGS, "ratings", rating_row),
)


def index_run(connection: sqlite3.Connection, folder: RunFolder, say: Say) -> None:
    """Make the rows of one run equal to what its folder holds; cheap where nothing has changed."""
    index_config(connection, folder)
    for journal in JOURNALS:
        path = folder.path / journal.file
        known = connection.execute("SELECT read FROM journals WHERE run = ? AND file = ?", (folder.name, journal.file))
        start = (known.fetchone() or (0,))[0]
        if start != (path.stat().st_size if path.is_file() else 0):
            index_journal(connection, folder, journal, say)


def index_config(connection: sqlite3.Connection, folder: RunFolder) -> None:
    """Durably write the row of a run, and forget its journals if another run has taken its name."""
    try:
        config = folder.config()
        row = (config.system, text(config), config.created)
    except RunError:
        row = ("?", "{}", "")
    old = connection.execute("SELECT system, config, created FROM runs WHERE name = ?", (folder.name,)).fetchone()
    if old == row:
        return
    connection.execute("PRAGMA synchronous = FULL")
    with transaction(connection):
        if old is not None and old[2] != row[2]:
            forget(connection, folder.name)
        connection.execute("INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?)", (folder.name, *row))
    connection.execute("PRAGMA synchronous = NORMAL")


def index_journal(connection: sqlite3.Connection, folder: RunFolder, journal: Journal, say: Say) -> None:
    """Read the lines of one journal that are not in the database yet."""
    path, damaged = folder.path / journal.file, []
    with transaction(connection):
        known = connection.execute("SELECT read FROM journals WHERE run = ? AND file = ?", (folder.name, journal.file))
        start = (known.fetchone() or (0,))[0]
        if start > (path.stat().st_size if path.is_file() else 0):  # somebody has shortened it
            connection.execute(f"DELETE FROM {journal.table} WHERE run = ?", (folder.name,))
            start = 0
        for entry in read(path, start):
            start = entry.end
            row = _row(journal, entry.record)
            if row is None:
                damaged.append(entry.start)
                continue
            marks = ", ".join("?" * (len(row) + 2))
            values = (folder.name, entry.start, *row)
            connection.execute(f"INSERT OR REPLACE INTO {journal.table} VALUES ({marks})", values)
        connection.execute("INSERT OR REPLACE INTO journals VALUES (?, ?, ?)", (folder.name, journal.file, start))
    if damaged:
        say(f"{path}: {len(damaged)} damaged line(s) left out, the first at byte {damaged[0]}")


def forget(connection: sqlite3.Connection, run: str) -> None:
    """Delete all rows of a run."""
    for table in ("metrics", "samples", "ratings", "journals"):
        connection.execute(f"DELETE FROM {table} WHERE run = ?", (run,))
    connection.execute("DELETE FROM runs WHERE name = ?", (run,))


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """A block that is written as one, or not at all if it fails; the right to write is taken at its start."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def whole(value: int) -> int:
    """`value` if a column can hold it. Raises: RunError."""
    if abs(value) > LARGEST:
        raise RunError(f"number {value} is beyond 64 bits")
    return value


def text(record: Any) -> str:
    """A dataclass as JSON text."""
    return json.dumps(to_json(record), ensure_ascii=False)


def _row(journal: Journal, record: dict[str, Any] | None) -> tuple[Any, ...] | None:
    if record is None:
        return None
    try:
        return journal.row(record)
    except (RunError, OverflowError):
        return None
