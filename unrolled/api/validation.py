"""How a run is judged while and after it trains."""

import math
import time
from collections.abc import Iterator

from torch import nn

from unrolled.core.contracts import Batch
from unrolled.data.encoded import Part
from unrolled.data.evaluation import random_windows
from unrolled.data.sampling import Streams
from unrolled.training.evaluation import Score, evaluate_batches
from unrolled.training.recipe import Recipe

TRIAL = 4_000  # predictions that tell how fast evaluation is
FINAL = 400_000  # predictions of the last evaluation, at most
EVALUATION_SHARE, FINAL_SHARE = 0.1, 0.04  # of a time budget, for all evaluations and for the last one, at most
ROWS = 16
CHUNK = 256


class Validation:
    """Scores a model on the validation part: always the same predictions, spread evenly over the part.

    `protocol` is "carried" over rows of carried state, or "windows" where a state has a limit of positions.
    """

    def __init__(self, part: Part, recipe: Recipe, position_limit: int | None) -> None:
        self.part, self.length, self.precision = part, recipe.length, recipe.precision
        self.protocol = "carried" if position_limit is None else "windows"
        self.size = len(part.symbols) - 1
        self.probe, self.final = recipe.evaluate_symbols, FINAL
        self.rate = math.inf

    @property
    def is_possible(self) -> bool:
        """Whether there is anything to validate on."""
        return self.size >= 1

    def fit(self, model: nn.Module, budget: float, evaluations: int) -> None:
        """Make so many evaluations, and the last one, small enough for a time budget of seconds."""
        seconds, predictions = math.inf, 0
        for _ in range(2):  # twice, because the first one is slowed down by what happens once
            began = time.monotonic()
            predictions = self.score(model, TRIAL).predictions
            seconds = min(seconds, time.monotonic() - began)
        self.rate = max(1, predictions) / seconds
        self.probe = min(self.probe, max(TRIAL, int(self.rate * EVALUATION_SHARE * budget / evaluations)))
        self.final = min(self.final, max(self.probe, int(self.rate * FINAL_SHARE * budget)))

    def seconds(self, predictions: int) -> float:
        """How long an evaluation of so many predictions takes, as far as `fit` could tell."""
        return min(predictions, self.size) / self.rate

    def score(self, model: nn.Module, predictions: int | None = None) -> Score:
        """The loss over about so many predictions (default: the probe); not a number without validation text."""
        if not self.is_possible:
            return Score(math.nan, 0, math.nan, self.protocol)
        batches = self.batches(predictions or self.probe)
        return evaluate_batches(model, batches, protocol=self.protocol, precision=self.precision)

    def batches(self, predictions: int) -> Iterator[Batch]:
        """The batches that are read."""
        if self.protocol == "windows":
            length = min(self.length, self.size)
            return random_windows(self.part, length, max(1, min(predictions, self.size) // length), seed=0, rows=32)
        return self.carried(predictions)

    def carried(self, predictions: int) -> Iterator[Batch]:
        """Rows of carried state, equally spaced on the part."""
        rows = max(1, min(ROWS, self.size // 64))
        streams = Streams(self.part, rows, max(1, min(CHUNK, self.size // rows)), seed=0)
        steps = min(streams.steps_per_epoch, -(-predictions // (rows * streams.length)))
        return (streams.batch(step) for step in range(steps))
