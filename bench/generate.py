"""Speed of generation by the step engine: against its peers, against what the machine can do, one stream and many.

Rows already in the file given by --rows are not measured again. Peers are optional packages, `pip install
"unrolled[peers]"`; a row says where one was absent. All loops of a row run turn by turn in this process, and figures
are medians of the turns.
"""

import json
import statistics
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from bench.bounds import Bounds, figures_of_bound
from bench.common import hardware
from bench.generation_peers import Absent, Contestant, Loop
from bench.generation_shapes import REAL_TIME, SAMPLE_RATE, SHAPES, Case, Ours, Shape, cases, packed_program
from unrolled.core.errors import UsageError
from unrolled.engine.runtime import Packed, Precision

SHARES = {"float32": 0.7, "bfloat16": 0.7}  # of the bound, where the weights take so many bytes
LARGE, OTHER_SHARE, COMPUTE_SHARE = 1_000_000, 0.35, 0.7


@dataclass(frozen=True)
class Command:
    """What to measure and for how long."""

    shapes: tuple[str, ...] = ()
    """beginning of a shape's name, may be repeated: LSTM, "GPT-2 124M" (default: all shapes)"""
    seconds: float = 0.4
    """shortest turn of each loop"""
    turns: int = 5
    """turns of each loop"""
    rows: Path | None = None
    """file of rows measured before; new rows are added to it"""


def measure(command: Command) -> Iterator[dict[str, Any]]:
    """One row a shape, precision, number of threads, number of streams and peer."""
    wanted, known, threads = cases(command.shapes), measured(command.rows), torch.get_num_threads()
    if not wanted:
        raise UsageError(f"no shape begins with {' or '.join(command.shapes)}: there are {', '.join(SHAPES)}")
    bench = Bench(command, Bounds())
    try:
        for case in wanted:
            row = known.get(case)
            if row is None:
                torch.set_num_threads(threads)
                machine = hardware()
                row = {"bench": "generate", **machine, **bench.row(case)}
                if command.rows:
                    with open(command.rows, "a") as file:
                        file.write(json.dumps(row) + "\n")
            yield row
    finally:
        torch.set_num_threads(threads)


def measured(path: Path | None) -> dict[Case, dict[str, Any]]:
    """The rows in a file."""
    rows = map(json.loads, path.read_text().splitlines() if path is not None and path.exists() else ())
    return {Case(*(row.get(name) for name in Case._fields)): row for row in rows}


class Bench:
    """What rows share: bounds of the machine, the model of the last shape and precision, peers that were chosen."""

    def __init__(self, command: Command, bounds: Bounds) -> None:
        self.command, self.bounds = command, bounds
        self.model: tuple[tuple[str, Precision], Packed] | None = None
        self.chosen: dict[tuple[str, str, Precision], Contestant] = {}

    def row(self, case: Case) -> dict[str, Any]:
        """Measure one case."""
        shape, packed = SHAPES[case.shape], self.packed(case)
        ours = Ours(packed, case.streams, case.threads, self.steps(shape, case.streams))
        self.bound(case, ours, 0.0)  # twice, and the best counts
        loop, full = ours.loops(shape.timed)
        peer = self.peer(case, shape, packed)
        rates = self.rates({"ours": loop, "peer": peer.loop, "ours_full": full, "peer_full": peer.full})
        if case.against == REAL_TIME:
            rates["peer"] = float(SAMPLE_RATE)
        if shape.timed == "drawn text":  # the full loop is the one that is compared
            rates["ours_full"] = rates["ours"]
        found = compared(case, rates, peer.name)
        bound = self.bound(case, ours, rates["ours"] or 0.0)
        large = case.precision in SHARES and packed.bytes >= LARGE
        goal = SHARES[case.precision] if large else OTHER_SHARE
        note = shape.note if case.streams > 1 else ""
        details = {"timed": shape.timed, "instructions": packed.instructions, "note": note}
        return found | details | judged(case, found, bound, goal)

    def bound(self, case: Case, ours: Ours, rate: float) -> dict[str, Any]:
        """What the machine could do of a case, and the share of it that `rate` is."""
        return figures_of_bound(self.bounds, self.packed(case), case.streams, case.threads, ours.steps, rate)

    def packed(self, case: Case) -> Packed:
        """The model of a case; that of the last row is kept."""
        key = (case.shape, case.precision)
        if self.model is None or self.model[0] != key:
            self.model = None  # before the next is made: two may not fit
            self.model = (key, packed_program(SHAPES[case.shape], case.precision))
        return self.model[1]

    def steps(self, shape: Shape, streams: int) -> int:
        """Of one call: fewer for many streams, but where a text is as long as it is."""
        return shape.steps if streams == 1 or shape.timed == "greedy text" else max(20, shape.steps // 10)

    def peer(self, case: Case, shape: Shape, packed: Packed) -> Contestant:
        """The fastest form of what a case is held against."""
        if case.streams > 1:
            return Contestant(case.against, Ours(packed, 1, case.threads, shape.steps).loops(shape.timed)[0])
        key = (case.shape, case.against, case.precision)
        if key not in self.chosen:
            self.chosen = {}  # peers of other rows leave memory
            forms = shape.peers[case.against](shape.steps, case.precision)
            try:
                self.chosen[key] = fastest(forms, self.command.seconds)
            except Absent as problem:
                self.chosen[key] = Contestant(str(problem), None)
        return self.chosen[key]

    def rates(self, loops: dict[str, Loop | None]) -> dict[str, float | None]:
        """Steps per second of each loop, None for one that is not there: medians of turns taken one after another."""
        there = {name: loop for name, loop in loops.items() if loop is not None}
        turns: dict[str, list[float]] = {name: [] for name in there}
        for _ in range(self.command.turns):
            for name, loop in there.items():
                turns[name].append(turn(loop, self.command.seconds))
        return {name: statistics.median(turns[name]) if name in there else None for name in loops}


def turn(loop: Loop, seconds: float) -> float:
    """Steps per second of a loop that runs for so long or longer, after a first call that does not count."""
    loop()
    began, steps, passed = time.perf_counter(), 0, 0.0
    while passed < seconds:
        steps += loop()
        passed = time.perf_counter() - began
    return steps / passed


def fastest(forms: Iterable[Contestant], seconds: float) -> Contestant:
    """The form with the most steps per second, which is tried only if it runs; others are let go when they lose."""
    best, most = None, 0.0
    for form in forms:
        rate = 0.0 if form.loop is None else turn(form.loop, seconds)
        if best is None or rate > most:
            best, most = form, rate
    assert best is not None
    return best


def compared(case: Case, rates: dict[str, float | None], name: str) -> dict[str, Any]:
    """Steps per second of both sides, all streams together, and their ratios."""
    ratios = {}
    for suffix in ("", "_full"):
        ours, peer = rates.get(f"ours{suffix}"), rates.get(f"peer{suffix}")
        ratios[f"ratio{suffix}"] = ours / peer if ours and peer else None
    figures = {key: rates.get(key) for key in ("ours", "peer", "ours_full", "peer_full")}
    return {**case._asdict(), **figures, "peer_name": name, **ratios, "goal": case.goal}


def judged(case: Case, found: dict[str, Any], bound: dict[str, Any], share: float) -> dict[str, Any]:
    """The bound's figures with whether the goals were reached; many streams may reach the compute bound instead."""
    reached, goal, near = None, None, None
    if case.goal is not None and found["ratio"] is not None:
        computes = case.streams > 1 and (bound["share_of_compute"] or 0.0) >= COMPUTE_SHARE
        reached = found["ratio"] >= case.goal or computes
    if case.streams == 1:
        goal = share
        near = None if bound["share_of_bound"] is None else bound["share_of_bound"] >= goal
    return {"reached": reached, **bound, "share_goal": goal, "share_reached": near}
