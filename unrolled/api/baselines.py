"""What trivial predictors score on the sound that a run is scored on; found once and kept in the run."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from unrolled.core.errors import DataError, RunError
from unrolled.data.encoded import Part
from unrolled.inspection.baselines import Baselines, baselines
from unrolled.store.configs import from_json, to_json
from unrolled.store.database import warn
from unrolled.store.journal import append, records

BASELINES = "baselines.jsonl"


@dataclass(frozen=True)
class Kept:
    """What was found under all that it depends on."""

    key: str
    frequencies: float
    fixed: float
    following: float

    @property
    def found(self) -> Baselines:
        """The figures alone."""
        return Baselines(self.frequencies, self.fixed, self.following)


def baselines_of(run: Any, train: Callable[[], Part], test: Part, what: str) -> Baselines | None:
    """The figures on one part of the data that `what` names, learned from the training part of a `Run` of sound.

    None where that part cannot be read any more, or no track is long enough.
    """
    depends = [1, run.config.data["fingerprint"], what, test.name, run.codec.to_json()]
    key = hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()[:32]
    path = run.folder.path / BASELINES
    if known := found_before(path, key):
        return known.found
    try:
        found = baselines(train(), test, run.codec)
    except DataError:
        return None
    try:
        append(path, [to_json(Kept(key, found.frequencies, found.fixed, found.following))], durable=False)
    except OSError as problem:
        warn(f"{run.folder.path}: cannot keep the baselines there ({problem.strerror}): make it writable")
    return found


def found_before(path: Any, key: str) -> Kept | None:
    """What a file holds under a key."""
    for record in records(path):
        try:
            kept = from_json(Kept, record, BASELINES)
        except RunError:
            continue
        if kept.key == key:
            return kept
    return None
