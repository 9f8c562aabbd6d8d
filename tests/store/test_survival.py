"""R9 in small: a writer that is killed at random instants loses no row that it has acknowledged."""

import random
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

from unrolled.store.database import FILE, open_database
from unrolled.store.folders import RunFolder

KILLS = 6
WRITER = """
import sys
from pathlib import Path
from unrolled.store.folders import RunFolder
from unrolled.store.recorder import Recorder
from unrolled.store.records import Metric, Rating, Sample
runs = Path(sys.argv[1])
with Recorder(RunFolder(runs / "one"), runs) as recorder:
    for number in range(10**9):
        (sample,) = recorder.samples([Sample("ab", int(sys.argv[2]), number, {}, "torch", "", "x" * 300, 1)])
        recorder.metric(Metric(number, "train", {"sample": sample.id}))
        recorder.rate(Rating(sample.id, "keep"))
        print(sample.id, flush=True)
"""


def kill_some_time_later(runs: Path, round_number: int, seconds: float) -> list[str]:
    """The ids that the writer had acknowledged when it was killed."""
    command = [sys.executable, "-c", WRITER, str(runs), str(round_number)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        first = writer.stdout.readline()
        time.sleep(seconds)
        writer.kill()
        rest = writer.stdout.read()
    lines = (first + rest).splitlines(keepends=True)
    return [line.strip() for line in lines if line.endswith("\n")]


def check(runs: Path, acknowledged: list[str], said: list[str]) -> None:
    connection = sqlite3.connect(runs / FILE)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
    with open_database(runs, said.append) as database:
        samples = [row.sample.id for row in database.samples()]
        kept = [row.sample.id for row in database.samples(kept=True)]
        metrics = [metric.values["sample"] for metric in database.metrics("one", "train")]
    assert len(samples) == len(set(samples))
    for found in (samples, kept, metrics):
        assert set(acknowledged) <= set(found)


def test_killed_writers_lose_nothing_that_they_acknowledged(run: RunFolder, runs: Path) -> None:
    chance = random.Random(5)
    acknowledged: list[str] = []
    said: list[str] = []
    for number in range(KILLS):
        acknowledged += kill_some_time_later(runs, number, chance.uniform(0.0, 0.15))
        check(runs, acknowledged, said)
    assert len(acknowledged) >= KILLS
    (runs / FILE).unlink()  # and the folders alone hold everything
    with open_database(runs, said.append) as database:
        assert set(acknowledged) <= {row.sample.id for row in database.samples(kept=True)}
    assert said == []


def test_several_writers_at_once_lose_nothing(run: RunFolder, runs: Path) -> None:
    script = WRITER.replace("10**9", "15")
    commands = [[sys.executable, "-c", script, str(runs), str(number)] for number in range(3)]
    writers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for command in commands]
    acknowledged = [line for writer in writers for line in writer.communicate()[0].split()]
    assert [writer.returncode for writer in writers] == [0, 0, 0]
    assert len(acknowledged) == 45
    check(runs, acknowledged, [])
