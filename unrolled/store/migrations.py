"""The schema of the run database, as ordered steps that are recorded in the database itself."""

import sqlite3
from collections.abc import Callable

from unrolled.core.errors import RunError
from unrolled.store.configs import now
from unrolled.store.index import transaction


def create_tables(connection: sqlite3.Connection) -> None:
    """Runs, and one table for each journal; a row is named by its run and the byte at which its line starts."""
    connection.execute("CREATE TABLE runs (name TEXT PRIMARY KEY, system TEXT, config TEXT, created TEXT)")
    connection.execute(
        "CREATE TABLE metrics (run TEXT, line INTEGER, step INTEGER, kind TEXT, nats REAL, time TEXT, content TEXT, "
        "PRIMARY KEY (run, line)) WITHOUT ROWID"
    )
    connection.execute(
        "CREATE TABLE samples (run TEXT, line INTEGER, id TEXT, model_sha256 TEXT, seed TEXT, stream INTEGER, "
        "engine TEXT, created TEXT, content TEXT, PRIMARY KEY (run, line))"
    )
    connection.execute("CREATE INDEX samples_by_id ON samples (id)")
    connection.execute(
        "CREATE TABLE ratings (run TEXT, line INTEGER, sample TEXT, decision TEXT, rate INTEGER, time TEXT, "
        "content TEXT, PRIMARY KEY (run, line)) WITHOUT ROWID"
    )
    connection.execute("CREATE INDEX ratings_by_sample ON ratings (run, sample)")
    connection.execute(
        "CREATE TABLE journals (run TEXT, file TEXT, read INTEGER, PRIMARY KEY (run, file)) WITHOUT ROWID"
    )


MIGRATIONS: tuple[Callable[[sqlite3.Connection], None], ...] = (create_tables,)


def migrate(connection: sqlite3.Connection, name: str) -> None:
    """Bring the database up to date, in one transaction.

    Raises: RunError if a newer version of the program made it.
    """
    known = len(MIGRATIONS)
    if applied(connection) == known:
        return
    with transaction(connection):
        done = applied(connection)
        if done > known:
            raise RunError(
                f"{name}: made by a newer unrolled (schema {done}, this one knows {known}): "
                "upgrade with pip install --upgrade unrolled, or move the file away to have it built anew"
            )
        connection.execute("CREATE TABLE IF NOT EXISTS migrations (number INTEGER PRIMARY KEY, name TEXT, time TEXT)")
        for number in range(done, known):
            step = MIGRATIONS[number]
            step(connection)
            connection.execute("INSERT INTO migrations VALUES (?, ?, ?)", (number + 1, step.__name__, now()))


def applied(connection: sqlite3.Connection) -> int:
    """How many migrations the database has had."""
    exists = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'migrations'").fetchone()
    return connection.execute("SELECT coalesce(max(number), 0) FROM migrations").fetchone()[0] if exists else 0
