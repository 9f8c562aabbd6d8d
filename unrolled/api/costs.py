"""What a precision of the step engine costs in nats per symbol, as it was measured on the run's own validation part."""

from typing import Any

from unrolled.core.errors import RunError
from unrolled.store.configs import from_json, to_json
from unrolled.store.database import warn
from unrolled.store.journal import append, records
from unrolled.store.records import Cost

COSTS = "precisions.jsonl"


def keep_cost(run: Any, cost: Cost) -> None:
    """Write a cost down in the folder of a `Run`; where that fails, one line on stderr says so."""
    try:
        append(run.folder.path / COSTS, [to_json(cost)], durable=True)
    except OSError as problem:
        warn(f"{run.folder.path}: cannot keep the cost there ({problem.strerror}): make it writable")


def known_cost(run: Any, precision: str) -> Cost | None:
    """What a precision of a run's present weights was last found to cost; None where that is not known."""
    last = None
    for record in records(run.folder.path / COSTS):
        try:
            cost = from_json(Cost, record, COSTS)
        except RunError:
            continue
        if (cost.model_sha256, cost.precision) == (run.model_sha256, precision):
            last = cost
    return last
