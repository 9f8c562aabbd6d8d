"""How a run is written down while it happens: into its journals first, and then into the database."""

from collections.abc import Callable, Sequence
from pathlib import Path

from unrolled.store.configs import from_json, to_json
from unrolled.store.database import FILE, Database, Unavailable, warn
from unrolled.store.folders import METRICS, RATINGS, SAMPLES, RunFolder
from unrolled.store.index import Say
from unrolled.store.journal import append, records
from unrolled.store.records import Metric, Rating, Sample, Verdict, verdicts


class Recorder:
    """Writes to the journals of one run, and keeps the index in step for as long as it can be written.

    `runs` is where the index lives; a run that lies elsewhere has its journals only.
    """

    def __init__(self, folder: RunFolder, runs: Path, say: Say = warn) -> None:
        self.folder, self.say = folder, say
        self._database: Database | None = None
        if folder.path.parent.resolve() == runs.resolve():
            self._try(lambda: self._open(runs))

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the database back."""
        if self._database is not None:
            self._database.close()
            self._database = None

    def metric(self, metric: Metric) -> None:
        """Write one metric. On return it survives a kill."""
        append(self.folder.path / METRICS, [to_json(metric)], durable=metric.kind != "train")
        self._index()

    def samples(self, samples: Sequence[Sample]) -> list[Sample]:
        """Write samples, and give them with their ids. On return they survive a power failure."""
        named = [sample.named() for sample in samples]
        append(self.folder.path / SAMPLES, [to_json(sample) for sample in named], durable=True)
        self._index()
        return named

    def rate(self, rating: Rating) -> None:
        """Write one decision. On return it survives a power failure."""
        append(self.folder.path / RATINGS, [to_json(rating)], durable=True)
        self._index()

    def verdicts(self) -> dict[str, Verdict]:
        """By sample id, what people decided."""
        return verdicts(from_json(Rating, record, RATINGS) for record in records(self.folder.path / RATINGS))

    def _open(self, runs: Path) -> None:
        self._database = Database(runs, runs / FILE, self.say)
        self._database.sync()

    def _index(self) -> None:
        database = self._database
        if database is not None:
            self._try(lambda: database.index(self.folder))

    def _try(self, action: Callable[[], None]) -> None:
        try:
            action()
        except Unavailable as problem:
            self.close()
            self.say(f"{problem}: going on without it; nothing is lost, the run folder holds it all")
