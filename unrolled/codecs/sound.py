"""Sound as levels: each sample becomes one of a fixed number of steps between -1 and 1."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, cast, get_args

import numpy as np

from unrolled.core.errors import DataError, RunError, UsageError

Companding = Literal["linear", "mu-law"]
LEVELS = range(64, 65_537)
RATES = range(1_000, 384_001)


@dataclass(frozen=True)
class SoundCodec:
    """Samples in [-1, 1] to levels 0 to `levels` - 1 and back: `decode(encode(x)) == normalise(x)`.

    `rate` is in samples per second. Linear levels are equally wide, floor((x + 1) levels / 2). Mu-law levels are finer
    near silence: with mu = levels - 1 and y = sign(x) ln(1 + mu |x|) / ln(1 + mu) the level is round((y + 1) / 2 mu),
    halves upwards. As in text, begin and end lie outside: two symbols above the levels, the end without any use.
    """

    rate: int
    levels: int = 256
    companding: Companding = "linear"

    kind = "sound"
    unknown = None  # no sample is

    def __post_init__(self) -> None:
        if self.rate not in RATES:
            raise UsageError(f"rate {self.rate} is not one of sound: pass {RATES[0]} to {RATES[-1]} samples a second")
        if self.levels not in LEVELS:
            raise UsageError(f"{self.levels} levels do not make a sound codec: pass {LEVELS[0]} to {LEVELS[-1]}")
        if self.companding not in get_args(Companding):
            raise UsageError(f"companding {self.companding!r} is not known: choose one of linear, mu-law")

    @property
    def size(self) -> int:
        """Number of symbols: the levels, begin and end."""
        return self.levels + 2

    @property
    def begin(self) -> int:
        """What stands before the first sample of a track."""
        return self.levels

    @property
    def end(self) -> int:
        """What would stand after the last sample; tracks are learned without it, for music that does not stop."""
        return self.levels + 1

    @cached_property
    def values(self) -> np.ndarray:
        """Each symbol as a number from -1 to 1, float32: levels evenly spread, whatever they stand for; 0 for others.

        This is what models read of mu-law too, as quiet sounds would be lost beside loud ones otherwise.
        """
        even = self.centres if self.companding == "linear" else np.linspace(-1, 1, self.levels)
        return np.append(even, (0, 0)).astype(np.float32)

    @cached_property
    def centres(self) -> np.ndarray:
        """The sample at the centre of each level, float32."""
        if self.companding == "linear":
            return ((np.arange(self.levels) + 0.5) * 2 / self.levels - 1).astype(np.float32)
        return self.expand(np.arange(self.levels) * 2 / (self.levels - 1) - 1).astype(np.float32)

    @property
    def edges(self) -> np.ndarray:
        """The samples at which one level ends and the next begins, float64."""
        inner = np.arange(1, self.levels)
        if self.companding == "linear":
            return inner * 2 / self.levels - 1
        return self.expand((inner * 2 - 1) / (self.levels - 1) - 1)

    def expand(self, y: np.ndarray) -> np.ndarray:
        """The inverse of mu-law."""
        mu = self.levels - 1
        return np.sign(y) * np.expm1(np.abs(y) * np.log1p(mu)) / mu

    def encode(self, samples: np.ndarray) -> np.ndarray:
        """The level of each sample as int32; what lies beyond -1 and 1 is clipped.

        Raises: DataError for the first sample that is no finite number.
        """
        x = np.asarray(samples, np.float64)
        finite = np.isfinite(x)
        if not finite.all():
            place = int(np.argmin(finite))
            raise DataError(f"sample {place + 1} is {x.flat[place]}, not a finite number: mend or leave out the sound")
        x = x.clip(-1, 1)
        if self.companding == "linear":
            levels = np.floor((x + 1) * self.levels / 2)
        else:
            mu = self.levels - 1
            y = np.sign(x) * np.log1p(mu * np.abs(x)) / np.log1p(mu)
            levels = np.floor((y + 1) / 2 * mu + 0.5)
        return levels.clip(0, self.levels - 1).astype(np.int32)

    def decode(self, levels: Any) -> np.ndarray:
        """The sample at the centre of each level, float32.

        Raises: DataError for a number that is no level.
        """
        found = np.asarray(levels)
        if not found.size:
            return np.empty(found.shape, np.float32)
        lowest, highest = int(found.min()), int(found.max())
        if lowest < 0 or highest >= self.levels:
            wrong = lowest if lowest < 0 else highest
            raise DataError(f"symbol {wrong} is no level of sound: this codec has the levels 0 to {self.levels - 1}")
        return self.centres[found]

    def normalise(self, samples: np.ndarray) -> np.ndarray:
        """`samples` as they come back from their levels."""
        return self.decode(self.encode(samples))

    def to_json(self) -> dict[str, Any]:
        """What `codec_from_json` needs to build this codec again."""
        return {"kind": self.kind, "rate": self.rate, "levels": self.levels, "companding": self.companding}


def from_json(data: dict[str, Any]) -> SoundCodec:
    """The inverse of to_json.

    Raises: RunError if the data is not what to_json writes.
    """
    rate, levels, companding = data.get("rate"), data.get("levels"), data.get("companding")
    if type(rate) is int and type(levels) is int and companding in get_args(Companding):  # a bool is no number
        try:
            return SoundCodec(rate, levels, cast(Companding, companding))
        except UsageError:
            pass
    raise RunError(f"codec.json describes no sound codec ({str(data)[:100]}): take its run again")
