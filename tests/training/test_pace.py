"""A time budget as a number of updates, by a clock that goes as the test says."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from training_fakes import Chunks, tiny

from unrolled.api import pace, training
from unrolled.api.pace import FEWEST, TOLERANCE, Pace, fastest_threads, machine_rate, measure_update, revisions
from unrolled.core.errors import UsageError
from unrolled.training.distributed import ALONE
from unrolled.training.recipe import Recipe

RECIPE = Recipe(rows=4, length=6)


class Clock:
    """Stands in for the module `time`: it goes on by `tick` seconds with every look, and when told."""

    def __init__(self, tick: float = 0.0) -> None:
        self.now, self.tick = 100.0, tick

    def monotonic(self) -> float:
        self.now += self.tick
        return self.now

    perf_counter = monotonic


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(pace, "time", found)
    return found


def paced(clock: Clock, *seconds: float) -> Callable[..., Iterator[None]]:
    """A loop whose updates take so long; the last one for ever."""

    def train(*arguments: Any, **settings: Any) -> Iterator[None]:
        for number in range(1000):
            clock.now += seconds[min(number, len(seconds) - 1)]
            yield

    return train


def test_updates_fill_what_is_left_of_the_budget(clock: Clock) -> None:
    budget = Pace(60.0, began=90.0, earlier=5.0, closing=2.5)
    assert budget.elapsed() == 15.0
    assert budget.updates(0.125, overhead=3.0) == (60 - 15 - 2.5 - 3) / 0.125
    clock.now += 10
    assert budget.updates(0.125, overhead=3.0) == (60 - 25 - 2.5 - 3) / 0.125


@pytest.mark.parametrize("update_seconds", [10.0, 0.001])
def test_a_slow_machine_and_a_spent_budget_still_make_a_few_updates(clock: Clock, update_seconds: float) -> None:
    clock.now += 0.0 if update_seconds > 1 else 1000.0
    assert Pace(60.0, began=99.0).updates(update_seconds, 0.0) == FEWEST


def test_a_plan_changes_only_where_the_end_would_be_off_by_more_than_the_tolerance(clock: Clock) -> None:
    clock.now = 130.0
    budget = Pace(60.0, began=100.0, closing=2.5)
    fitting = 100 + int((60 - 30 - 2.5) / 0.25)
    slack = int(TOLERANCE * 60 / 0.25)
    for steps in (fitting, fitting - slack, fitting + slack):
        assert budget.revise(100, steps, 0.25) == steps
    assert budget.revisions == []
    for steps in (fitting - slack - 1, fitting + slack + 1):
        assert budget.revise(100, steps, 0.25) == fitting
    assert budget.revisions == [
        {"step": 100, "from": fitting - slack - 1, "to": fitting},
        {"step": 100, "from": fitting + slack + 1, "to": fitting},
    ]


def test_a_plan_of_steps_is_never_revised(clock: Clock) -> None:
    budget = Pace(None, began=0.0)
    assert budget.revise(3, 1000, 60.0) == 1000 and budget.revisions == []


def test_the_rate_of_a_machine_is_that_of_its_best_slice(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    slices = [0.25, 0.0625, 0.125, 0.5]

    def multiply(left: torch.Tensor, right: torch.Tensor) -> None:
        clock.now += slices.pop(0)

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch, "mm", multiply)
    assert machine_rate(seconds=0.4) == 2 * 512**3 / 0.0625
    assert slices == [0.5]  # not looked at any more, as the time was over


def test_the_first_update_does_not_count(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "train", paced(clock, 10.0, 0.5, 0.25))
    found = measure_update(tiny(), Chunks(), RECIPE, 0, ALONE, seconds=1.5)
    assert found == (0.5 + 4 * 0.25) / 5
    monkeypatch.setattr(pace, "train", paced(clock, 10.0, 4.0))
    assert measure_update(tiny(), Chunks(), RECIPE, 0, ALONE, seconds=1.5) == 4.0
    assert clock.now == 100 + 10 + 1.5 + 10 + 3 * 4  # three at least


def test_measuring_trains_a_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "time", Clock(tick=1.0))
    model = tiny()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert measure_update(model, Chunks(), RECIPE, 0, ALONE) > 0
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_measuring_takes_as_many_updates_as_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "time", Clock(tick=0.25))
    few = Recipe(steps=4, rows=4, length=6)
    assert measure_update(tiny(), Chunks(), few, 0, ALONE, seconds=2.0) > 0


@pytest.mark.parametrize(
    ("seconds", "asked", "best"),
    [({1: 0.2, 4: 0.3}, None, 1), ({1: 0.3, 4: 0.2}, None, 4), ({1: 0.1, 2: 0.9, 4: 0.1}, 2, 2)],
)
def test_the_fastest_number_of_threads_is_set(
    monkeypatch: pytest.MonkeyPatch, seconds: dict[int, float], asked: int | None, best: int
) -> None:
    threads, measured = [4], []
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads[-1])
    monkeypatch.setattr(torch, "set_num_threads", threads.append)

    def measure(*arguments: Any) -> float:
        measured.append(threads[-1])
        return seconds[threads[-1]]

    monkeypatch.setattr(pace, "measure_update", measure)
    assert fastest_threads(tiny(), Chunks(), RECIPE, 0, ALONE, asked) == (best, seconds[best])
    assert threads[-1] == best
    assert measured == ([asked] if asked else [1, 4])


def test_revisions_are_read_as_they_are_written() -> None:
    assert revisions(["500:2000", "700:1500"]) == {500: 2000, 700: 1500}
    for text in ("500", "500:", ":5", "-1:5", "a:b", "1:2:3"):
        with pytest.raises(UsageError, match="STEP:STEPS"):
            revisions([text])


class Asked(Exception):
    """Carries what a new job was asked for."""


@pytest.mark.parametrize(
    ("settings", "operations"),
    [({"minutes": 2.0}, 1e9 * 120), ({}, 1e9 * 180), ({"steps": 5}, training.NOMINAL_OPERATIONS)],
)
def test_minutes_become_operations_by_the_rate_of_this_machine(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], operations: float
) -> None:
    def new_job(paths: Any, options: Any, settings: Any, operations: float) -> None:
        raise Asked(operations)

    monkeypatch.setattr(training, "machine_rate", lambda: 1e9)
    monkeypatch.setattr(training, "new_job", new_job)
    with pytest.raises(Asked) as caught:
        training.train("book.txt", **settings)
    assert caught.value.args == (operations,)
