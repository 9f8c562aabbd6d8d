"""The laws, measured on a trained run: its own weights, its own text."""

import copy
from typing import NamedTuple

import torch

from unrolled.api.evaluation import evaluation_part
from unrolled.api.run import Run
from unrolled.api.runs import load, require
from unrolled.core import state as states
from unrolled.core.errors import DataError, UsageError
from unrolled.data.sampling import Streams
from unrolled.inspection import laws

ROWS = 3


class Finding(NamedTuple):
    """How far a run strays from a law, and how far it may."""

    law: str
    deviation: float
    limit: float

    @property
    def holds(self) -> bool:
        """Whether the law holds."""
        return self.deviation <= self.limit


def check(run: Run, length: int = 48) -> list[Finding]:
    """Measure the laws on `length` symbols of text: in float64, where they must hold to rounding, and in
    float32 as far as generation needs them.
    """
    require(run.system, "check")
    if length < 1:
        raise UsageError(f"length {length}: check on at least 1 symbol")
    symbols = text_of(run, min(length, run.model.position_limit or length)).to(run.device)
    exact = copy.deepcopy(run.model).double()
    with torch.no_grad():
        x = exact.embed(symbols)
        state = exact.init_state(len(x))
        single, single_state = run.model.embed(symbols), run.model.init_state(len(x))
    backbone, middle = exact.backbone, x.shape[1] // 2
    lengths = torch.tensor([x.shape[1], middle, 1], device=run.device)[: len(x)]
    return [
        Finding("parallel equals step, float64", laws.step_deviation(backbone, x, state), 1e-9),
        Finding("parallel equals step, float32", laws.step_deviation(run.model.backbone, single, single_state), 1e-4),
        Finding("splitting time changes nothing", laws.split_deviation(backbone, x, state, [1, middle]), 1e-9),
        Finding("no output depends on a later input", laws.future_gradient(backbone, x, state), 0.0),
        Finding("rows of a batch never mix", laws.batch_deviation(backbone, x, state), 1e-9),
        Finding("ragged rows equal each row alone", laws.advance_deviation(backbone, x, lengths, state), 1e-9),
        Finding("a call changes no state", laws.purity_deviation(backbone, x, state), 0.0),
        Finding("a state survives save and load", laws.reload_deviation(backbone, x, state), 0.0),
        Finding("the run survives reload", reload_deviation(run, symbols), 0.0),
    ]


def text_of(run: Run, length: int) -> torch.Tensor:
    """Rows of the run's own text, or of symbols drawn evenly where that is no longer at hand: the laws hold on both."""
    try:
        part, _ = evaluation_part(run, (), "validation" if run.config.training["options"]["split"] < 1 else "train")
    except DataError:
        return torch.randint(run.codec.begin, (ROWS, length), generator=torch.Generator().manual_seed(0))
    return Streams(part, ROWS, min(length, max(1, (len(part.symbols) - 1) // ROWS)), seed=0).batch(0).inputs


@torch.no_grad()
def reload_deviation(run: Run, symbols: torch.Tensor) -> float:
    """Logits of the run against those of the run read from its folder once more."""
    again = load(run.folder.path, device=run.device)
    results = []
    for model in (run.model, again.model):
        features, state = model.backbone.parallel(model.embed(symbols), model.init_state(len(symbols)))
        results.append((model.head.logits(features), *(leaf for _, leaf in states.leaves(state))))
    return laws.deviation(*results)
