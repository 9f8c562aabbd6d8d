"""Training speed: a whole training against a bare hand-written PyTorch loop of the same model, turn by turn in one run.

Ours reads data, notes metrics and asks for interrupts as every training does; what checkpoints take is measured apart
and spread over the time from one to the next. Evaluations are not overhead and are left out.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from bench.common import hardware, shared_text, temporary_runs
from bench.peers import BareGPT, BareRecurrent
from unrolled.api.job import Job, new_job
from unrolled.api.options import TextOptions
from unrolled.api.pace import machine_rate
from unrolled.api.session import Session
from unrolled.core import state as states
from unrolled.store.folders import create_run
from unrolled.store.recorder import Recorder
from unrolled.training import progress as progresses

SHAPES: dict[str, tuple[dict[str, Any], Callable[[int], nn.Module]]] = {
    "LSTM 2x512": (
        {"system": "char-rnn", "hidden": 512, "layers": 2, "dropout": 0.0, "rows": 32, "length": 64},
        lambda size: BareRecurrent(nn.LSTM, size, 512, 2),
    ),
    "GRU 1x256": (
        {"system": "char-rnn", "cell": "gru", "hidden": 256, "dropout": 0.0, "rows": 32, "length": 64},
        lambda size: BareRecurrent(nn.GRU, size, 256, 1),
    ),
    "nanoGPT 4x128": (
        {"system": "gpt", "family": "gpt-2", "width": 128, "context": 64, "dropout": 0.0, "rows": 12, "length": 64},
        lambda size: BareGPT(size, 128, 4, 4, 64),
    ),
}


@dataclass(frozen=True)
class Command:
    """How long to measure."""

    updates: int = 50
    """updates of one turn"""
    turns: int = 5
    """turns of each loop"""


Turn = Callable[[int], float]  # seconds of one of so many updates


def measure(command: Command) -> Iterator[dict[str, Any]]:
    """One row a shape: symbols per second of both loops (medians of the turns), their ratio and the loop's overhead."""
    data = shared_text("tinyshakespeare.txt")
    for shape, (settings, peer) in SHAPES.items():
        with temporary_runs() as runs, ExitStack() as stack:
            job = new_job([data], TextOptions(system=settings["system"], runs=runs), recipe_of(settings), 1e12)
            ours = Training(job, stack)
            loops: dict[str, Turn] = {
                "ours": ours.turn, "bare": turns(bare_loop(job, peer(job.codec.size))),
                "updates": turns(update_loop(job)),
            }  # fmt: skip
            for loop in loops.values():
                loop(3)
            times: dict[str, list[float]] = {name: [] for name in loops}
            rates, saves = [], []
            for _ in range(command.turns):
                for name, loop in loops.items():
                    times[name].append(loop(command.updates))
                rates.append(machine_rate())
                saves.append(ours.save_seconds())
            saving = statistics.median(saves) / job.options.checkpoint_seconds
            yield figures(shape, job, times, statistics.median(rates), saving) | hardware()


def recipe_of(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings of a training that never ends and does not stop to evaluate."""
    rest = {name: value for name, value in settings.items() if name != "system"}
    return rest | {"optimiser": "adamw", "steps": 10**6, "evaluate_every": 10**6, "sample_every": 10**6}


def figures(shape: str, job: Job, times: dict[str, list[float]], rate: float, saving: float) -> dict[str, Any]:
    """What the turns add up to; `saving` is the share of time that goes into checkpoints."""
    ours, bare = statistics.median(times["ours"]) * (1 + saving), statistics.median(times["bare"])
    symbols = job.recipe.rows * job.recipe.length
    operations = 6 * symbols * sum(p.numel() for p in job.model.parameters() if p.ndim == 2)
    return {
        "bench": "speed", "shape": shape,
        "symbols_per_second": symbols / ours, "bare_symbols_per_second": symbols / bare,
        "ratio": bare / ours, "overhead": ours / statistics.median(times["updates"]) - 1, "checkpoints": saving,
        "matrix_product_gflops": rate / 1e9, "share_of_matrix_products": operations / ours / rate,
    }  # fmt: skip


class Training:
    """A training in a run folder, so many updates at a time."""

    def __init__(self, job: Job, stack: ExitStack) -> None:
        job.folder = create_run(job.options.runs, "speed", job.system.name)
        self.left = 0
        self.session = Session(job, lambda event: None, time.monotonic(), self.is_over)
        self.session.open(())
        self.session.recorder = stack.enter_context(Recorder(job.folder, job.options.runs))

    def is_over(self) -> bool:
        """Asked after each update."""
        self.left -= 1
        return self.left <= 0

    def turn(self, updates: int) -> float:
        """Seconds of one of so many updates."""
        self.left, began = updates, time.perf_counter()
        self.session.updates()
        return (time.perf_counter() - began) / updates

    def save_seconds(self) -> float:
        """Seconds of one checkpoint."""
        began = time.perf_counter()
        self.session.save()
        return time.perf_counter() - began


def bare_loop(job: Job, model: nn.Module) -> Iterator[None]:
    """What a person would write: the same data, loss, clipping and optimiser, and nothing else."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.99), fused=True)
    state, step = None, 0
    while True:
        batch = job.sampler.batch(step)
        logits, state = model(batch.inputs, state)
        loss = F.cross_entropy(logits.flatten(0, 1), batch.targets.flatten())
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        loss.item()
        state, step = states.detach(state) if state is not None else None, step + 1
        yield


def update_loop(job: Job) -> Iterator[None]:
    """Forward, backward, clipping and optimiser of our model and nothing around them, on one batch."""
    batch, state = job.sampler.batch(0), None
    following = batch._replace(restart=torch.zeros_like(batch.restart)) if job.model.position_limit is None else batch
    progress = progresses.begin(job.model, job.recipe)
    job.model.train()
    while True:
        loss, state, _ = job.model(batch, state, None)
        progress.optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(job.model.parameters(), 1.0)
        progress.optimiser.step()
        state, batch = states.detach(state), following
        yield


def turns(loop: Iterator[None]) -> Turn:
    """A loop that goes on by as many updates as it is asked for."""

    def turn(updates: int) -> float:
        began = time.perf_counter()
        for _ in range(updates):
            next(loop)
        return (time.perf_counter() - began) / updates

    return turn
