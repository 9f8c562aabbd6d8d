"""The laws, measured on a trained run: its own weights, its own data."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch

from unrolled.api.engines import Native, Unfit
from unrolled.api.evaluation import evaluation_source, forced_losses, model_losses
from unrolled.api.run import Run
from unrolled.api.runs import given_run, load, require
from unrolled.backbones import Tiers
from unrolled.core import state as states
from unrolled.core.contracts import Batch
from unrolled.core.errors import DataError, UsageError
from unrolled.core.protocol import Backbone
from unrolled.data.sampling import Streams
from unrolled.inspection import laws

ROWS = 3
SHORT = 48  # symbols, unless a model needs more to show all that it does
LEAST = {"text": SHORT, "sound": 512}  # over which both views and the engines are compared: 48 samples are 3 ms
SPANS = 3  # receptive fields, or frames of the slowest tier


class Finding(NamedTuple):
    """How far a run strays from a law, and how far it may; `skipped` says why that was not measured."""

    law: str
    deviation: float | None
    limit: float
    skipped: str = ""

    @property
    def holds(self) -> bool:
        """Whether the law is not known to be broken."""
        return self.deviation is None or self.deviation <= self.limit


def check(run: Run | str | Path, length: int | None = None) -> list[Finding]:
    """Measure the laws of a run, given as such or by name or path, on `length` symbols of its data.

    In float64, where they must hold to rounding, and in float32 as far as generation needs them.
    By default 48 symbols, and for the laws of both views and of the engines as many as are three receptive fields, or
    three frames of the slowest tier, but of sound 512 at least.
    """
    return list(findings(given_run("check", run), length))


def findings(run: Run, length: int | None = None) -> Iterator[Finding]:
    """What `check` gives, one after another."""
    require(run.system, "check")
    if length is not None and length < 1:
        raise UsageError(f"length {length}: check on at least 1 symbol")
    limit = run.model.position_limit
    longest = length or max(LEAST[run.system.medium], span(run.model.backbone))
    batch = stretch(run, min(longest, limit or longest))
    yield from short_findings(run, batch.inputs[:, : length or SHORT].to(run.device))
    yield from long_findings(run, batch)


def span(backbone: Backbone[Any]) -> int:
    """Symbols over which a backbone shows all that it does."""
    frames = [module.frames[0] for module in backbone.modules() if isinstance(module, Tiers)]
    return SPANS * max(backbone.receptive_field or 0, *frames, 0)


def short_findings(run: Run, symbols: torch.Tensor) -> Iterator[Finding]:
    """The laws whose cost grows faster than the number of symbols, or that few symbols show."""
    exact = copy.deepcopy(run.model).double()
    with torch.no_grad():
        x, state = exact.embed(symbols), exact.init_state(len(symbols))
        single, single_state = run.model.embed(symbols), run.model.init_state(len(symbols))
    backbone, middle = exact.backbone, x.shape[1] // 2
    lengths = torch.tensor([x.shape[1], middle, 1], device=run.device)[: len(x)]
    yield Finding("parallel equals step, float64", laws.step_deviation(backbone, x, state), 1e-9)
    yield Finding("parallel equals step, float32", laws.step_deviation(run.model.backbone, single, single_state), 1e-4)
    yield Finding("splitting time changes nothing", laws.split_deviation(backbone, x, state, [1, middle]), 1e-9)
    yield Finding("no output depends on a later input", laws.future_gradient(backbone, x, state), 0.0)
    yield Finding("rows of a batch never mix", laws.batch_deviation(backbone, x, state), 1e-9)
    yield Finding("ragged rows equal each row alone", laws.advance_deviation(backbone, x, lengths, state), 1e-9)
    yield Finding("a call changes no state", laws.purity_deviation(backbone, x, state), 0.0)
    yield Finding("a state survives save and load", laws.reload_deviation(backbone, x, state), 0.0)
    yield Finding("the run survives reload", reload_deviation(run, symbols), 0.0)


def long_findings(run: Run, batch: Batch) -> Iterator[Finding]:
    """The laws over all symbols, with rows that start anew on the way."""
    time = batch.inputs.shape[1]
    yield native_finding(run, batch, f"native equals torch over {time:,}")
    exact = copy.deepcopy(run.model).double()
    symbols = batch.inputs[:2].to(run.device)  # a row that reads on and one that does not: each costs
    with torch.no_grad():
        x, state = exact.embed(symbols), exact.init_state(len(symbols))
    far = laws.reset_deviation(exact.backbone, x, state, [0, time // 2][: len(x)])
    yield Finding(f"both views with a reset, {time:,}", far, 1e-9)


@torch.no_grad()
def native_finding(run: Run, batch: Batch, law: str) -> Finding:
    """Nats of each symbol by the step engine against those of the model; a row starts anew half way."""
    try:
        engine = run.engines.native("float32", 1)
    except Unfit as why:
        return Finding(law, None, 1e-4, why.reason)
    assert isinstance(engine, Native)
    middle, worst = max(1, batch.inputs.shape[1] // 2), 0.0
    head, tail = (
        batch._replace(inputs=batch.inputs[:, part], targets=batch.targets[:, part], mask=batch.mask[:, part])
        for part in (slice(middle), slice(middle, None))
    )
    pieces = [head] + [tail._replace(restart=torch.arange(len(batch.restart)) == 1)] * bool(tail.inputs.shape[1])
    both = zip(forced_losses(engine, iter(pieces)), model_losses(run, iter(pieces)), strict=True)
    for (_, native), (_, nats) in both:
        worst = max(worst, laws.deviation(native.float(), nats.cpu().float()))
    return Finding(law, worst, 1e-4)


def stretch(run: Run, length: int) -> Batch:
    """Rows of the run's own data that all start anew, or of symbols drawn evenly where that is no longer at hand: the
    laws hold on both.
    """
    try:
        split = "validation" if run.config.training["options"]["split"] < 1 else "train"
        part = evaluation_source(run, (), split).part
    except DataError:
        drawn = torch.randint(run.codec.begin, (ROWS, length + 1), generator=torch.Generator().manual_seed(0))
        fields = torch.zeros(ROWS, len(run.fields.names), dtype=torch.int64)
        return whole(drawn, fields)
    streams = Streams(part, ROWS, min(length, max(1, (len(part.symbols) - 1) // ROWS)), seed=0)
    first, step = streams.batch(0), 0
    read = [first.inputs]
    while sum(piece.shape[1] for piece in read) <= length:
        step += 1
        read.append(streams.batch(step).inputs)
    return whole(torch.cat(read, 1)[:, : length + 1], first.fields)


def whole(symbols: torch.Tensor, fields: torch.Tensor) -> Batch:
    """A batch in which each symbol is predicted from those before it."""
    inputs, targets = symbols[:, :-1], symbols[:, 1:]
    return Batch(inputs, targets, torch.ones_like(inputs, dtype=torch.bool), torch.ones(len(inputs)) > 0, fields)


@torch.no_grad()
def reload_deviation(run: Run, symbols: torch.Tensor) -> float:
    """Probabilities of the run against those of the run read from its folder once more."""
    again = load(run.folder.path, device=run.device)
    results = []
    for model in (run.model, again.model):
        features, state = model.backbone.parallel(model.embed(symbols), model.init_state(len(symbols)))
        results.append((model.head.logits(features).softmax(-1), *(leaf for _, leaf in states.leaves(state))))
    return laws.deviation(*results)
