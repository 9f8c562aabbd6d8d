"""How a run is judged while and after it trains."""

import math
import time
from collections.abc import Iterator

from torch import nn

from unrolled.core.contracts import Batch
from unrolled.data.encoded import Encoded, Part
from unrolled.data.evaluation import random_windows
from unrolled.data.sampling import Streams
from unrolled.training.evaluation import Score, evaluate_batches

PROBE = 40_000  # predictions of one evaluation during training
FINAL = 400_000  # predictions of the last one
ROWS = 16
CHUNK = 256


class Validation:
    """Scores a model on the validation part: always the same predictions, spread evenly over the part.

    `protocol` is "carried" over rows of carried state, or "windows" where a state has a limit of positions.
    """

    def __init__(self, part: Part, length: int, position_limit: int | None, precision: str = "float32") -> None:
        self.part, self.length, self.precision = part, length, precision
        self.protocol = "carried" if position_limit is None else "windows"
        self.size = len(part.symbols) - 1
        self.seconds = 0.0

    @property
    def is_possible(self) -> bool:
        """Whether there is anything to validate on."""
        return self.size >= 1

    def score(self, model: nn.Module, predictions: int = PROBE) -> Score:
        """The loss over about so many predictions; not a number where there is no validation text."""
        if not self.is_possible:
            return Score(math.nan, 0, math.nan, self.protocol)
        began = time.monotonic()
        score = evaluate_batches(model, self.batches(predictions), protocol=self.protocol, precision=self.precision)
        if predictions == PROBE:
            self.seconds = time.monotonic() - began
        return score

    def final_seconds(self) -> float:
        """What the last evaluation will take, as far as the first ones tell."""
        return self.seconds * min(FINAL, self.size) / max(1, min(PROBE, self.size))

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


def bits_per_character(encoded: Encoded, characters: int) -> float:
    """What nats per symbol are multiplied by to give bits per character, in a corpus of so many characters.

    The begin and the end of a record are symbols but no text.
    """
    parts = (encoded.train, encoded.validation)
    symbols = sum(len(part.symbols) - 2 * (len(part.starts) - 1) * part.is_records for part in parts)
    return symbols / max(1, characters) / math.log(2)
