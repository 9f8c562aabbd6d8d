"""A budget of minutes as a number of updates: once, and again at a checkpoint if the machine's speed changes."""

import copy
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from unrolled.core.contracts import Sampler
from unrolled.core.errors import UsageError
from unrolled.training import progress as progresses
from unrolled.training.distributed import Group
from unrolled.training.loop import train
from unrolled.training.recipe import Recipe

FEWEST = 20  # updates, however slow the machine seems to be before it has trained
TOLERANCE = 0.015  # share of the budget by which the end may be off before the number of updates changes


def machine_rate(seconds: float = 0.3) -> float:
    """Floating-point operations per second of float32 matrix products on this machine.

    The best of many short slices counts, so that what else the machine does just now matters little.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    size = 512 if device.type == "cpu" else 4096
    left, right = torch.ones(size, size, device=device), torch.ones(size, size, device=device)
    fastest, end = float("inf"), time.perf_counter() + seconds
    while (began := time.perf_counter()) < end:
        torch.mm(left, right)
        if device.type == "cuda":
            torch.cuda.synchronize()
        fastest = min(fastest, time.perf_counter() - began)
    return 2 * size**3 / fastest


def measure_update(
    model: nn.Module, sampler: Sampler, recipe: Recipe, seed: int, group: Group, seconds: float = 1.5
) -> float:
    """Mean seconds of one update, what happens between updates included, from updates of a copy of the model."""
    trial = copy.deepcopy(model)
    progress = progresses.begin(trial, recipe)
    progress.steps = sys.maxsize  # quick updates may be many more than the recipe's
    updates = train(trial, sampler, recipe, progress, seed=seed, group=group)
    next(updates)  # the first is slower than any other
    count, began = 0, time.perf_counter()
    while count < 3 or group.agreed(time.perf_counter() - began) < seconds:
        next(updates)
        count += 1
    return (time.perf_counter() - began) / count


def fastest_threads(
    model: nn.Module, sampler: Sampler, recipe: Recipe, seed: int, group: Group, threads: int | None
) -> tuple[int, float]:
    """The number of threads at which updates are fastest, set from here on, and the seconds of one update.

    Threads that wait for each other lose to a single one where something else keeps a core busy. `threads` are taken
    as they are if given.
    """
    tried: dict[int, float] = {}
    for count in sorted({threads} if threads else {1, torch.get_num_threads()}):
        torch.set_num_threads(count)
        tried[count] = group.agreed(measure_update(model, sampler, recipe, seed, group))
    best = min(tried, key=lambda count: tried[count])
    torch.set_num_threads(best)
    return best, tried[best]


@dataclass
class Pace:
    """A time budget of `seconds` for a run of which `earlier` were spent in sittings before this one.

    `closing` are the seconds that the end of the run will take. `revisions` tell when the number of updates changed.
    """

    seconds: float | None
    began: float
    earlier: float = 0.0
    closing: float = 2.5
    revisions: list[dict[str, Any]] = field(default_factory=list)

    def elapsed(self) -> float:
        """Seconds spent on the run so far."""
        return self.earlier + time.monotonic() - self.began

    def updates(self, update_seconds: float, overhead: float) -> int:
        """How many updates fit into what is left, when evaluations and checkpoints take `overhead` seconds in all."""
        assert self.seconds is not None
        return max(FEWEST, int((self.seconds - self.elapsed() - self.closing - overhead) / update_seconds))

    def revise(self, step: int, steps: int, update_seconds: float) -> int:
        """The number of updates in all that now keeps to the budget: `steps`, unless that is off by too much.

        `update_seconds` include the evaluations between updates.
        """
        if self.seconds is None:
            return steps
        fitting = step + self.updates(update_seconds, 0.0)
        if abs(fitting - steps) * update_seconds <= TOLERANCE * self.seconds:
            return steps
        self.revisions.append({"step": step, "from": steps, "to": fitting})
        return fitting


def revisions(texts: Sequence[str]) -> dict[int, int]:
    """The totals of updates by the update after which they hold.

    Raises: UsageError for what is not of the form STEP:STEPS.
    """
    found = {}
    for text in texts:
        step, _, steps = text.partition(":")
        if not (step.isdecimal() and steps.isdecimal()):
            raise UsageError(f"revise {text!r} is not of the form STEP:STEPS: write --revise 500:2000")
        found[int(step)] = int(steps)
    return found
